"""Tensors out of the files that dictionaries come in; nothing but tensors is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.features.dictionary import DictionaryError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        DictionaryError: It is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DictionaryError(f"{path} cannot be read: {error}", "fetch it again") from error


def read_torch(path: Path) -> dict[str, Tensor]:
    """All tensors of a PyTorch file, by `weights_only=True`.

    Raises:
        DictionaryError: It is damaged, or holds more than tensors.
    """
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what the unpickler raises on a damaged file can be anything
        raise DictionaryError(
            f"{path} is no file of tensors, or holds more than tensors", "anything else in a pickle is never read"
        ) from error
    if not isinstance(held, dict):
        raise DictionaryError(f"{path} holds no named tensors")
    return {str(name): value for name, value in held.items() if isinstance(value, Tensor)}  # pyright: ignore


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a NumPy archive, without its pickles.

    Raises:
        DictionaryError: It is damaged, or holds objects.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: torch.from_numpy(held[name]) for name in held.files}
    except Exception as error:
        raise DictionaryError(f"{path} cannot be read: {error}", "fetch it again") from error


def pick(tensors: Mapping[str, Tensor], path: Path, *names: str | Sequence[str]) -> list[Tensor]:
    """The named tensors in float32; a sequence of names is tried in order.

    Raises:
        DictionaryError: One is missing.
    """
    found: list[Tensor] = []
    for wanted in names:
        choices = (wanted,) if isinstance(wanted, str) else wanted
        held = next((tensors[name] for name in choices if name in tensors), None)
        if held is None:
            raise DictionaryError(f"{path} holds no '{choices[0]}'", f"it holds {', '.join(sorted(tensors)[:8])}")
        found.append(held.float())
    return found


def of_width(matrix: Tensor, width: int) -> Tensor:
    """A decoder as (latents, width), whichever way it is stored."""
    return matrix if matrix.shape[1] == width else matrix.T
