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


def _layer_number(key: int | str) -> int:
    return key if isinstance(key, int) else int(key.rsplit("_", 1)[-1])
