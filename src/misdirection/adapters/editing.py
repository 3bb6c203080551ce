"""A direction taken out of what an adapter writes: B edited, A as it was (arXiv 2506.11618 appendix D).

B's columns are what the adapter adds to the residual stream, so the direction at the same layer can be projected out of
them: B' = (I - v v^T) B. A has no such edit: A of a `down_proj` lives in the MLP's hidden space, where the direction is
no vector; and A of a module that reads the residual stream reads it through a norm, and what it reads is not what the
adapter does.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from misdirection.adapters.weights import AdapterError, writes_residual
from misdirection.artefacts import read_tensors, write_tensors
from misdirection.models import layer_of

Keep = Literal["rest", "direction"]

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_B = ".lora_B.weight"


def split_b(b: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """B as what lies along a direction and the rest, which add up to it.

    Args:
        b: Shape (width, rank).
        vector: Shape (width,), of any length but 0.

    Returns:
        v v^T B and B - v v^T B with v of length 1, in B's own format.
    """
    unit = torch.nn.functional.normalize(vector.double(), dim=0)
    along = torch.outer(unit, unit @ b.double())
    return along.to(b.dtype), (b.double() - along).to(b.dtype)


def edit_adapter(source: Path, target: Path, vectors: Tensor, keep: Keep = "rest") -> dict[int, float]:
    """Write an edited copy of a PEFT adapter: an ordinary adapter folder.

    Args:
        source: Folder of the adapter.
        target: Folder to write.
        vectors: Shape (n_layers, width): row l is taken out of the B's of layer l.
        keep: "rest" projects the direction out of every B; "direction" leaves nothing else in it.

    Returns:
        By layer, the share of B's squared norm that lay along the direction.

    Raises:
        AdapterError: A module of the adapter does not write into the residual stream, or is not as wide as the
            direction; a file is missing.
    """
    if not (source / WEIGHTS).exists() or not (source / CONFIG).exists():
        raise AdapterError(f"{source} holds no {WEIGHTS} with {CONFIG}", "give the folder of a PEFT adapter")
    tensors, _ = read_tensors(source / WEIGHTS)
    along: dict[int, float] = {}
    whole: dict[int, float] = {}
    for name, b in tensors.items():
        if not name.endswith(_B):
            continue
        layer = _check(name, b, vectors)
        part, rest = split_b(b, vectors[layer])
        tensors[name] = rest if keep == "rest" else part
        along[layer] = along.get(layer, 0.0) + float(part.double().square().sum())
        whole[layer] = whole.get(layer, 0.0) + float(b.double().square().sum())
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target / WEIGHTS, tensors, {"edited from": source.name, "kept": keep})
    shutil.copy(source / CONFIG, target / CONFIG)
    return {layer: along[layer] / whole[layer] if whole[layer] else 0.0 for layer in sorted(along)}


def _check(name: str, b: Tensor, vectors: Tensor) -> int:
    path = name.removesuffix(_B)
    layer = layer_of(path)
    if not writes_residual(path) or layer is None or layer >= len(vectors):
        raise AdapterError(
            f"B of {path} does not write into the residual stream of one of {len(vectors)} layers, so no direction of "
            "it can be taken out",
            "edit adapters of down_proj or o_proj",
        )
    if b.ndim != 2 or b.shape[0] != vectors.shape[1]:
        raise AdapterError(f"B of {path} has shape {tuple(b.shape)}, and the direction {vectors.shape[1]} entries")
    return layer


def uneditable(source: Path) -> list[str]:
    """Modules of an adapter that do not write into the residual stream.

    Raises:
        MisdirectionError: The adapter's weights are missing.
    """
    tensors, _ = read_tensors(source / WEIGHTS)
    paths = [name.removesuffix(_B) for name in tensors if name.endswith(_B)]
    return [path for path in paths if not writes_residual(path)]
