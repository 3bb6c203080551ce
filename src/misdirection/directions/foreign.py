"""Directions that others wrote, read into one table: which layer each vector belongs to is known, asked, or refused.

- a folder of mean hidden states, as the model-organisms code publishes them (`store.load_published_direction`);
- `.pt` (`weights_only`: nothing but tensors is unpickled), `.npz`, `.npy`, `.safetensors`: a table of shape (layers,
  width), or (layers + 1, width) with the embeddings first, as `hidden_states` has it and persona vectors' files
  (`*_avg_diff.pt`, Chen et al. 2507.21509) are, or a list of such rows; vectors by layer, under numbers or names as
  `layer_12`, `model.layers.12`, `blocks.12.hook_resid_post`; or one vector, whose layer a `layer` beside it or the user
  must tell. Names of another place than the residual stream after a layer (`mlp`, `hook_resid_pre`) are refused;
- control vectors of repeng and llama.cpp (`.gguf`, or the same names elsewhere): `direction.N` acts after decoder layer
  N counted from 0, in both; llama.cpp has none for layer 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import read_tensors
from misdirection.chats.sources.opening import PLACEHOLDERS, refuse_foreign
from misdirection.directions.errors import DirectionError

READ = (
    "a direction is read from direction.safetensors of a run, .safetensors, .pt, .npz, .npy, a control vector (.gguf), "
    "or a folder of published mean hidden states"
)
"""What is read, for messages."""

_LAYER = re.compile(
    r"(?:(?:\w+\.)*(?:direction|layers?|blocks?|blk|h|l)[._]?)?(\d+)"
    r"(?:[._](?:vectors?|directions?|steering_vectors?|residual|resid|output|hook_resid_post|resid_post))?",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"mlp|attn|attention|resid_pre|resid_mid|hook_z|input|lora_|_proj|norm|bias", re.IGNORECASE)
_OF_ANOTHER = re.compile(
    r"(?:^|[._])(?:mlp|attn|self_attn|attention|resid_pre|resid_mid|hook_z|input)(?:_out)?[._].*\d", re.IGNORECASE
)
"""Places before the number: `mlp.layers.3` is no `layers.3`."""
_ARRAYS = re.compile(r"arr_(\d+)")
_WHOLE = (
    "vectors", "direction", "vector", "directions", "steering_vector", "steering_vectors", "control_vector", "layers",
)  # fmt: skip


def read_foreign(path: Path) -> tuple[Tensor | dict[int, Tensor], int | None]:
    """What a file holds, and the layer that it says it belongs to.

    Returns:
        A table (rows, width), one vector (width,), or vectors by layer, float32; the layer of one vector where the
        file tells it.

    Raises:
        DirectionError: It holds no direction.
    """
    suffix = path.suffix.lower()
    layer = None
    if suffix == ".gguf":
        held: Any = _gguf(path)
    elif suffix in (".pt", ".pth", ".bin"):
        held = load_tensors(path)
    elif suffix in (".npz", ".npy"):
        held = _numpy(path)
    elif suffix == ".safetensors":
        held, facts = read_tensors(path)
        layer = int(facts["layer"]) if str(facts.get("layer", "")).isdigit() else None
    else:
        raise DirectionError(f"{path} is no file of a direction", READ)
    shaped = _shaped(path, held)
    if isinstance(shaped, Tensor) and isinstance(held, Mapping):
        shaped = _at_its_layers(shaped, cast("Mapping[Any, Any]", held).get("layers"))
        layer = _number(cast("Mapping[Any, Any]", held).get("layer")) if layer is None else layer
    return shaped, layer


def _at_its_layers(table: Tensor, layers: Any) -> Tensor | dict[int, Tensor]:
    """The rows of a table by the numbers that stand beside it, where there is one for each."""
    numbers = [_number(layer) for layer in layers] if isinstance(layers, list | tuple | Tensor) and len(layers) else []
    if table.ndim != 2 or len(numbers) != len(table) or None in numbers or len(set(numbers)) < len(numbers):
        return table
    return {number: row for number, row in zip(numbers, table, strict=True) if number is not None}


def _number(value: Any) -> int | None:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = value.item()
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def load_tensors(path: Path) -> Any:
    """What a file of torch holds; nothing but tensors is unpickled.

    Raises:
        DirectionError: It holds more, or is damaged.
    """
    refuse_foreign(path, "file of tensors", DirectionError, PLACEHOLDERS)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what the unpickler raises on a damaged file can be anything
        raise DirectionError(
            f"{path} is no file of tensors, or holds more than tensors", "anything else in a pickle is never read"
        ) from error


def aligned(path: Path, held: Tensor | dict[int, Tensor], n_layers: int | None, layer: int | None) -> Tensor:
    """The vectors of a file as one table, a row for each decoder layer; zeros where the file has none.

    Args:
        path: The file, for messages and for the one name that tells its rows.
        held: As `read_foreign` gives it.
        n_layers: Decoder layers of the model; None where the file alone must tell.
        layer: Which layer one vector belongs to; of a file with several vectors it is refused.

    Returns:
        Shape (n_layers, width), float32.

    Raises:
        DirectionError: The file does not tell which layer is which, does not fit the model, or is no number.
    """
    if layer is not None and (isinstance(held, dict) or held.ndim > 1):
        raise names_nothing(path)
    table = _by_layer(path, held, n_layers) if isinstance(held, dict) else _of_tensor(path, held, n_layers, layer)
    check_numbers(path, table)
    if not bool(table.any()):
        raise DirectionError(f"{path}: the direction is zero at every layer", "make it again")
    return table


def names_nothing(path: Path) -> DirectionError:
    """The error for a layer that is named for a file which holds vectors of several."""
    return DirectionError(
        f"{path} holds a vector for each of several layers, so that --direction-layer names nothing",
        "leave it out; where the direction acts is another option (--layer, --layers)",
    )


def check_numbers(path: Path, table: Tensor) -> None:
    """Refuse vectors that are no numbers.

    Raises:
        DirectionError: The layers are named.
    """
    if not bool(torch.isfinite(table).all()):
        wrong = (~torch.isfinite(table)).any(dim=-1).nonzero()[:, 0].tolist()
        raise DirectionError(
            f"{path}: the direction is not a number at layer {', '.join(map(str, wrong[:8]))}",
            "make it again, in float32 if it was made in half precision",
        )


def _of_tensor(path: Path, held: Tensor, n_layers: int | None, layer: int | None) -> Tensor:
    if held.ndim == 1:
        if layer is None or n_layers is None:
            raise DirectionError(
                f"{path} holds one vector of width {len(held)}, and does not say after which layer it acts",
                "name the layer with --direction-layer" if n_layers else "give a file with a vector for each layer",
            )
        if not 0 <= layer < n_layers:
            raise DirectionError(f"{path}: there is no layer {layer}", f"the model's are 0 to {n_layers - 1}")
        table = torch.zeros(n_layers, len(held))
        table[layer] = held
        return table
    rows = len(held)
    embeddings_first = rows == n_layers + 1 if n_layers else path.name.endswith("_avg_diff.pt")
    if n_layers and rows not in (n_layers, n_layers + 1):
        turned = held.shape[1] in (n_layers, n_layers + 1)
        raise DirectionError(
            f"{path} has {rows} rows, and the model {n_layers} layers",
            f"it looks transposed: save it as (layers, width), {tuple(held.T.shape)}"
            if turned
            else f"a table has {n_layers} rows, or {n_layers + 1} with the embeddings first",
        )
    return _without_embeddings(path, held) if embeddings_first else held


def _without_embeddings(path: Path, table: Tensor) -> Tensor:
    progress.say(
        f"  direction: the first of the {len(table)} rows of {path.name} is the embeddings', and is left out; the "
        "last is behind the final norm where it comes from hidden_states: steer at another layer",
        once=True,
    )
    return table[1:]


def _by_layer(path: Path, held: Mapping[int, Tensor], n_layers: int | None) -> Tensor:
    top = max(held)
    if n_layers and sorted(held) == list(range(n_layers + 1)):
        return _without_embeddings(path, torch.stack([held[row] for row in range(n_layers + 1)]))
    count = top + 1 if n_layers is None else n_layers
    if top >= count:
        raise DirectionError(
            f"{path} has a vector for layer {top}, and the model's layers are 0 to {count - 1}",
            "give a direction of this model; layers are counted from 0, without the embeddings",
        )
    table = torch.zeros(count, len(held[top]))
    for layer, vector in held.items():
        table[layer] = vector
    return table


def _shaped(path: Path, held: Any) -> Tensor | dict[int, Tensor]:
    if isinstance(held, list | tuple):
        held = _stacked(path, cast("list[Any]", held))
    if isinstance(held, Tensor):
        squeezed = held.squeeze(0) if held.ndim > 1 and held.shape[0] == 1 else held
        squeezed = squeezed.squeeze(1) if squeezed.ndim == 3 and squeezed.shape[1] == 1 else squeezed
        if squeezed.ndim not in (1, 2) or not squeezed.is_floating_point():
            kind = str(held.dtype).removeprefix("torch.")
            raise DirectionError(
                f"{path} holds {kind} of shape {tuple(held.shape)}", "a direction is (width,) or (layers, width)"
            )
        return squeezed.to(torch.float32)
    if not isinstance(held, Mapping) or not held:
        raise DirectionError(f"{path} holds no tensor", READ)
    parts = cast("Mapping[Any, Any]", held)
    if named := [name for name in _WHOLE if _is_direction(parts.get(name))]:
        return _shaped(path, _only_one(path, parts, named))
    if all(_ARRAYS.fullmatch(str(name)) for name in parts) and len(parts) > 1:
        return _shaped(path, [parts[f"arr_{row}"] for row in range(len(parts)) if f"arr_{row}" in parts])
    numbers = {_LAYER.fullmatch(str(name)): value for name, value in parts.items()}
    if other := next((str(name) for name in parts if _OF_ANOTHER.search(str(name))), ""):
        raise _elsewhere(path, other)
    if all(isinstance(v, Tensor) and v.is_floating_point() for v in parts.values()) and None not in numbers:
        rows = {int(match[1]): value.flatten().to(torch.float32) for match, value in numbers.items() if match}
        if len({len(row) for row in rows.values()}) == 1 and len(rows) == len(parts):
            return rows
    if len(parts) == 1 and isinstance(only := next(iter(parts.values())), Tensor):
        return _shaped(path, only)
    if {"answer", "question"} & set(map(str, parts)):
        raise DirectionError(
            f"{path} holds the mean hidden states of one kind of answers, not a direction",
            "name the folder that holds the file of the other kind too",
        )
    if other := next((str(name) for name in parts if _ELSEWHERE.search(str(name)) and re.search(r"\d", str(name))), ""):
        raise _elsewhere(path, other)
    shown = ", ".join(str(name) for name in list(parts)[:5])
    raise DirectionError(f"{path} holds {shown}, and none is told to be the direction", "keep it under 'vectors'")


def _only_one(path: Path, parts: Mapping[Any, Any], named: list[str]) -> Any:
    """What stands under the names of a direction; of a table and one of its rows, the table."""
    found = {name: _shaped(path, parts[name]) for name in named}
    tables = {name: held for name, held in found.items() if isinstance(held, dict) or held.ndim > 1} or found
    first, *others = tables
    for name in others:
        if not _same(tables[first], tables[name]):
            raise DirectionError(
                f"{path} holds two directions, under '{first}' and under '{name}', and they differ",
                "keep the one that is meant under 'vectors', alone",
            )
    return parts[first]


def _same(one: Tensor | dict[int, Tensor], other: Tensor | dict[int, Tensor]) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(torch.equal(row, other[at]) for at, row in one.items())
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


def _elsewhere(path: Path, name: str) -> DirectionError:
    return DirectionError(
        f"{path} holds {name}, which is not the residual stream after a decoder layer",
        "a direction of this stream is read, a vector a layer",
    )


def _is_direction(value: Any) -> bool:
    """Whether a value under a name of `_WHOLE` is one: not, for `layers`, the numbers of the rows."""
    if isinstance(value, Tensor):
        return value.is_floating_point()
    held = list(cast("Mapping[Any, Any]", value).values()) if isinstance(value, Mapping) else value
    return isinstance(held, list | tuple) and bool(held) and all(isinstance(row, Tensor) for row in held)


def _stacked(path: Path, rows: list[Any]) -> Tensor:
    if not rows or not all(isinstance(row, Tensor) and row.is_floating_point() for row in rows):
        raise DirectionError(f"{path} holds a list that is not of tensors alone", "a list has one vector a layer")
    flat = [cast("Tensor", row).flatten().to(torch.float32) for row in rows]
    if len({len(row) for row in flat}) > 1:
        raise DirectionError(f"{path} holds a list of vectors of several widths", "a list has one vector a layer")
    return torch.stack(flat)


def _numpy(path: Path) -> Any:
    import numpy as np

    try:
        held = np.load(path, allow_pickle=False)
        arrays = {name: held[name] for name in held} if path.suffix.lower() == ".npz" else {"vectors": held}
        return {
            name: torch.from_numpy(np.asarray(array, array.dtype.newbyteorder("="))) for name, array in arrays.items()
        }
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DirectionError(f"{path} is no file of arrays: {str(error)[:120]}", READ) from error
    except Exception as error:  # a damaged zip has errors of its own
        raise DirectionError(f"{path} is damaged: {str(error)[:120]}", "fetch or make it again") from error


def gguf_package() -> Any:
    """The `gguf` package.

    Raises:
        DirectionError: It is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise DirectionError("GGUF files need the package gguf", "pip install gguf") from error
    return gguf


def _gguf(path: Path) -> dict[str, Tensor]:
    import numpy as np

    package = gguf_package()
    try:
        tensors = [tensor for tensor in package.GGUFReader(path).tensors if str(tensor.name).startswith("direction.")]
        # bfloat16 and quantised tensors are held as bytes.
        held = {
            str(tensor.name): torch.from_numpy(np.array(package.quants.dequantize(tensor.data, tensor.tensor_type)))
            for tensor in tensors
        }
    except (OSError, NotImplementedError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DirectionError(f"{path} is no GGUF file, or is damaged: {error}", "fetch or make it again") from error
    if not held:
        raise DirectionError(f"{path} is a GGUF file without a control vector (direction.N)", READ)
    return held
