"""The weights as files: matrices in eight bits with one scale a row, everything else in float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from misdirection.errors import MisdirectionError

_SCALE = ".scale"


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with a float32 scale a row, |w - packed| <= scale / 2; vectors float32, halves as they are."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or min(tensor.shape) < 16:
            found[name] = tensor.contiguous() if tensor.dtype == torch.float16 else tensor.float().contiguous()
            continue
        scale = tensor.float().abs().amax(1).clamp(min=1e-12) / 127
        found[name] = torch.round(tensor.float() / scale[:, None]).to(torch.int8).contiguous()
        found[name + _SCALE] = scale
    return found


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `packed` made, as float32."""
    return {
        name: tensor.float() * tensors[name + _SCALE][:, None] if tensor.dtype == torch.int8 else tensor.float()
        for name, tensor in tensors.items()
        if not name.endswith(_SCALE)
    }


def write_weights(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, packed."""
    save_file(packed(tensors), file)
    file.chmod(0o644)  # safetensors writes files that only their owner can read


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read tensors that `write_weights` wrote.

    Raises:
        MisdirectionError: The file is missing or damaged.
    """
    try:
        return unpacked(load_file(file))
    except Exception as error:
        raise MisdirectionError(
            f"the judge 'offline' cannot read its weights ({file.name}): {error}", "install misdirection again"
        ) from error
