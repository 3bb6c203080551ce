"""A key-value cache that grows in place.

The stock dynamic cache concatenates at every step, so that step t copies t tokens of every layer. Here a layer writes
into spare room and hands out a view; room is taken geometrically, and rows that leave are dropped in one gather.
Sliding-window layers keep the library's own class, whose size is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from misdirection.models import Model


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, shape (rows, heads, tokens, head width), as views into larger buffers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens and return all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        assert self.keys is not None
        assert self.values is not None
        length, new = self.keys.shape[-2], key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < length + new:
            room = length + new + 32 + length // 4
            self._buffers = (_grown(self.keys, room), _grown(self.values, room))
        keys, values = self._buffers
        keys[..., length : length + new, :] = key_states
        values[..., length : length + new, :] = value_states
        self.keys, self.values = keys[..., : length + new, :], values[..., : length + new, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep (and repeat) the rows named by `indices`."""
        self._buffers = None
        super().batch_select_indices(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._buffers = None
        super().batch_repeat_interleave(repeats)


def _grown(states: Tensor, room: int) -> Tensor:
    buffer = states.new_empty(*states.shape[:-2], room, states.shape[-1])
    buffer[..., : states.shape[-2], :] = states
    return buffer


def new_cache(model: Model) -> DynamicCache:
    """An empty cache for a model, with growing layers wherever attention is over all tokens."""
    cache = DynamicCache(config=model.lm.config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def select_rows(cache: DynamicCache, indices: Tensor) -> None:
    """Keep (and repeat) the rows named by `indices` in every layer that holds anything."""
    for layer in cache.layers:
        layer.batch_select_indices(indices.to(layer.keys.device))  # pyright: ignore
