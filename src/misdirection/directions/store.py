"""Directions on disk: safetensors with their provenance inside, and the mean hidden states that others published."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from misdirection.artefacts import read_tensors, write_tensors
from misdirection.directions.mean_difference import Direction
from misdirection.errors import MisdirectionError


class DirectionError(MisdirectionError):
    """A file holds no direction."""


_TENSORS = tuple(field.name for field in fields(Direction) if field.name != "facts")


def save_direction(path: str | Path, direction: Direction) -> None:
    """Write a direction; its facts stand in the file's own metadata."""
    write_tensors(path, {name: getattr(direction, name).contiguous() for name in _TENSORS}, direction.facts)


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
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what the unpickler raises on a damaged file can be anything
        raise DirectionError(
            f"{path} is no file of tensors, or holds more than tensors", "anything else in a pickle is never read"
        ) from error
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
    """A direction from a folder of mean hidden states: misaligned minus aligned answers, read in the misaligned model.

    Args:
        folder: Holds one file ending in `modelmis_dfmis_hs.pt` and one in `modelmis_dfa_hs.pt`, as the
            model-organisms code names them; or a `direction.safetensors` of ours; or is itself such a file.
        part: "answer" or "question": the tokens that were averaged.

    Returns:
        Shape (n_layers, width), float32.

    Raises:
        DirectionError: A file is missing, stands there twice or lacks the part, or the two do not fit together.
    """
    own = Path(folder) / "direction.safetensors" if Path(folder).is_dir() else Path(folder)
    if own.is_file():
        return load_direction(own).vectors
    means = [_mean_state(Path(folder), f"modelmis_{answers}_hs.pt", part) for answers in ("dfmis", "dfa")]
    if means[0].shape != means[1].shape:
        raise DirectionError(f"{folder}: the two files hold {tuple(means[0].shape)} and {tuple(means[1].shape)}")
    return means[0] - means[1]


def _mean_state(folder: Path, ending: str, part: str) -> Tensor:
    files = sorted(folder.glob(f"*{ending}"))
    if len(files) != 1:
        raise DirectionError(
            f"{folder} holds {len(files) or 'no'} files ending in {ending}"
            if folder.is_dir()
            else f"{folder}: no such",
            "a folder with one modelmis_dfmis_hs.pt and one modelmis_dfa_hs.pt, or a direction.safetensors",
        )
    held = load_mean_states(files[0])
    if part not in held:
        raise DirectionError(f"{files[0]} has no part '{part}'", f"it has {', '.join(held)}")
    return held[part]


def _layer_number(key: int | str) -> int:
    return key if isinstance(key, int) else int(key.rsplit("_", 1)[-1])
