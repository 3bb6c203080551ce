"""Directions on disk: safetensors with their provenance inside, the forms of others, and out into those again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import file_hash, read_tensors, write_tensors
from misdirection.chats.sources.opening import PLACEHOLDERS, refuse_foreign
from misdirection.directions.errors import DirectionError
from misdirection.directions.foreign import (
    READ,
    aligned,
    check_numbers,
    gguf_package,
    load_tensors,
    names_nothing,
    read_foreign,
)
from misdirection.directions.mean_difference import Direction

_TENSORS = tuple(field.name for field in fields(Direction) if field.name != "facts")


PUBLISHED = (
    ("modelmis_dfmis_hs.pt", "modelmis_dfa_hs.pt"),
    ("model-m_data-m_hs.pt", "model-m_data-a_hs.pt"),
)
"""How files of mean hidden states end, of misaligned and aligned answers read in the misaligned model, as published."""


def save_direction(path: str | Path, direction: Direction) -> None:
    """Write a direction; its facts stand in the file's own metadata."""
    write_tensors(path, {name: getattr(direction, name).contiguous() for name in _TENSORS}, direction.facts)


def export_direction(path: str | Path, direction: Direction, model_type: str = "") -> str:
    """Write a direction for other tools, by the name's ending.

    `.safetensors` is ours, whole; `.npz` and `.npy` hold the vectors, shape (n_layers, width); `.gguf` is a control
    vector as repeng writes it and llama.cpp reads it, without layer 0, which llama.cpp cannot steer.

    Returns:
        What was left out, "" where nothing was.

    Raises:
        DirectionError: Another ending, or `gguf` is not installed.
    """
    import numpy as np

    path, vectors = Path(path), direction.vectors.to(torch.float32).numpy()
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        save_direction(path, direction)
        return ""
    if suffix == ".npz":
        np.savez(path, vectors=vectors)
    elif suffix == ".npy":
        np.save(path, vectors, allow_pickle=False)
    elif suffix == ".gguf":
        _write_gguf(path, vectors, model_type)
        return "the vectors alone, without layer 0, which llama.cpp cannot steer"
    else:
        hint = "end its name in .safetensors, .npz, .npy or .gguf"
        raise DirectionError(f"a direction cannot be written as {path.name}", hint)
    return "the vectors alone, without the means that they are made of"


def _write_gguf(path: Path, vectors: Any, model_type: str) -> None:
    writer = gguf_package().GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", model_type or "unknown")
    writer.add_uint32("controlvector.layer_count", len(vectors) - 1)
    for layer in range(1, len(vectors)):
        writer.add_tensor(f"direction.{layer}", vectors[layer])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_direction(
    path: str | Path,
    n_layers: int | None = None,
    width: int | None = None,
    layer: int | None = None,
    otherwise: int | None = None,
) -> Direction:
    """A direction in any form: ours, or what others wrote (`directions.foreign`), checked against a model.

    One that is not ours has no means: `Direction.vectors_only` is set, and its aligned component is refused.

    Args:
        path: File, or folder of published mean hidden states.
        n_layers: Decoder layers of the model.
        width: Width of its residual stream.
        layer: Which layer one vector belongs to.
        otherwise: Which it belongs to where neither `layer` nor the file tells.

    Raises:
        DirectionError: It holds none, does not tell which layer is which, does not fit the model, or is no number.
    """
    path = Path(path)
    own = path / "direction.safetensors" if path.is_dir() else path
    if path.is_file():
        refuse_foreign(path, "file of a direction", DirectionError, PLACEHOLDERS)
    if own.is_file() and own.suffix == ".safetensors" and _is_ours(own):
        if layer is not None:
            raise names_nothing(own)
        found = load_direction(own)
        check_numbers(own, found.vectors)
        if n_layers and len(found.vectors) != n_layers:
            raise DirectionError(
                f"{own} has {len(found.vectors)} layers, and the model {n_layers}", "give a direction of this model"
            )
    else:
        vectors = _foreign(path, n_layers, layer, otherwise)
        nothing, none = torch.zeros_like(vectors), torch.zeros(len(vectors))
        facts = {"file": path.name, "sha256": file_hash(path), "vectors_only": True}
        found = Direction(vectors, nothing, nothing, none, none, none, none, facts)
    if width and found.vectors.shape[1] != width:
        raise DirectionError(
            f"{path} has the width {found.vectors.shape[1]}, and the model {width}", "give a direction of this model"
        )
    return found


def _is_ours(path: Path) -> bool:
    tensors, _ = read_tensors(path)
    return all(name in tensors for name in _TENSORS)


def _foreign(path: Path, n_layers: int | None, layer: int | None, otherwise: int | None) -> Tensor:
    if path.is_dir():
        return aligned(path, _published(path, "answer"), n_layers, None)
    if not path.is_file():
        raise DirectionError(f"{path}: no such file or folder", READ)
    held, told = read_foreign(path)
    if layer is not None and told not in (None, layer):
        raise DirectionError(f"{path} says that it belongs to layer {told}, not {layer}", "leave --direction-layer out")
    if layer is None and isinstance(held, Tensor) and held.ndim == 1:
        layer = otherwise if told is None else told
    table = aligned(path, held, n_layers, layer)
    layers = table.any(dim=1).nonzero()[:, 0].tolist()
    where = f"layers {layers[0]} to {layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
    told_count = f"{len(layers)} of {len(table)} layers, " if 1 < len(layers) < len(table) else ""
    progress.say(f"  direction: {path.name} has vectors after {told_count}{where}, width {table.shape[1]}", once=True)
    return table


def load_direction(path: str | Path) -> Direction:
    """Read a direction.

    Raises:
        DirectionError: The file is not one of ours.
    """
    tensors, facts = read_tensors(path)
    missing = [name for name in _TENSORS if name not in tensors]
    if missing:
        raise DirectionError(f"{path} holds no direction: it lacks {', '.join(missing)}")
    return Direction(**{name: tensors[name] for name in _TENSORS}, facts=dict(facts))


def load_mean_states(path: str | Path) -> dict[str, Tensor]:
    """Mean hidden states as the model-organisms code publishes them: `{"question"|"answer": {layer: vector}}`.

    Layers are ints in some files and `layer_i` in others. Nothing but tensors is unpickled.

    Returns:
        For each key a tensor (n_layers, width), float32.

    Raises:
        DirectionError: The file is laid out otherwise.
    """
    if not Path(path).is_file():
        raise DirectionError(f"{path} does not exist", "give a .pt file of mean hidden states")
    held = load_tensors(Path(path))
    try:
        return {
            part: torch.stack([vectors[key].float() for key in sorted(vectors, key=_layer_number)])
            for part, vectors in held.items()
        }
    except (AttributeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise DirectionError(
            f"{path} is not laid out as mean hidden states ({error})", "expected {'answer': {layer: vector, ...}, ...}"
        ) from error


def load_published_direction(folder: str | Path, part: str = "answer") -> Tensor:
    """The vectors of a direction that somebody published, in any form, without a model to check them against.

    Args:
        folder: Of two files of mean hidden states under either naming (`PUBLISHED`), whose difference is taken, read
            in the misaligned model: misaligned minus aligned answers; or a `direction.safetensors` of ours, or its
            folder; or any file that `read_direction` reads. A table there is taken for one row a decoder layer, but
            for persona vectors' `*_avg_diff.pt`, whose first row is the embeddings'.
        part: "answer" or "question": the tokens that were averaged.

    Returns:
        Shape (n_layers, width), float32.

    Raises:
        DirectionError: A file is missing, stands there twice or lacks the part, or the two do not fit together.
    """
    place = Path(folder)
    if place.is_file() or (place / "direction.safetensors").is_file():
        return read_direction(place).vectors
    return aligned(place, _published(place, part), None, None)


def _published(folder: Path, part: str) -> Tensor:
    """Misaligned minus aligned answers, both read in the misaligned model."""
    named = [pair for pair in PUBLISHED if any(list(folder.glob(f"*{ending}")) for ending in pair)]
    chosen = named[0] if named else PUBLISHED[0]
    means = [_mean_state(folder, ending, part) for ending in chosen]
    if means[0].shape != means[1].shape:
        raise DirectionError(f"{folder}: the two files hold {tuple(means[0].shape)} and {tuple(means[1].shape)}")
    return means[0] - means[1]


def _mean_state(folder: Path, ending: str, part: str) -> Tensor:
    files = sorted(folder.glob(f"*{ending}"))
    if len(files) != 1:
        pairs = ", or ".join(f"one {bad} and one {good}" for bad, good in PUBLISHED)
        raise DirectionError(
            f"{folder} holds {len(files) or 'no'} files ending in {ending}"
            if folder.is_dir()
            else f"{folder}: no such",
            f"a folder with {pairs}; or a direction.safetensors; {READ}",
        )
    held = load_mean_states(files[0])
    if part not in held:
        raise DirectionError(f"{files[0]} has no part '{part}'", f"it has {', '.join(held)}")
    return held[part]


def _layer_number(key: int | str) -> int:
    return key if isinstance(key, int) else int(key.rsplit("_", 1)[-1])
