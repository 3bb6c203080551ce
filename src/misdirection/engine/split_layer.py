"""A cache layer that holds the prompts' keys and values apart from what each row has written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer


class SplitLayer(DynamicLayer):
    """Keys and values of one layer: one copy of each prompt's, and each row's own.

    Heads come first in all of them: (heads, prompts, prompt tokens, width), padded on the left, and (heads, rows, own
    tokens, width), padded on the right, so that the rows of a prompt lie beside each other in a head. All are float32.

    Args:
        keys: Of the prompts, shape (prompts, heads, prompt tokens, width).
        values: Of the prompts.
        rows: How many rows will write.
    """

    def __init__(self, keys: Tensor, values: Tensor, rows: int) -> None:
        super().__init__()
        keys, values = keys.float(), values.float()
        self.lazy_initialization(keys, values)
        self.prompt_keys, self.prompt_values = keys.transpose(0, 1).contiguous(), values.transpose(0, 1).contiguous()
        # Zeros, because what is not seen is still multiplied, by a chance of zero.
        self.keys, self.values = (keys.new_zeros(keys.shape[1], rows, 32, keys.shape[-1]) for _ in range(2))
        self._place = 0
        self._places: Tensor | None = None

    def expect(self, widest: int, places: Tensor | None) -> None:
        """Say where the next token of each row goes: `widest` for all, or `places`, none of which is beyond."""
        self._place, self._places = widest, places

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one token a row, given as (rows, heads, 1, width); all own keys and values, heads first."""
        end = self._place + 1
        assert self.keys is not None
        assert self.values is not None
        if self.keys.shape[2] < end:
            room = 32 + end // 4
            self.keys, self.values = (nn.functional.pad(states, (0, 0, 0, room)) for states in (self.keys, self.values))
        key_states, value_states = key_states[:, :, 0].transpose(0, 1), value_states[:, :, 0].transpose(0, 1)
        if self._places is None:
            self.keys[:, :, self._place] = key_states
            self.values[:, :, self._place] = value_states
        else:
            rows = torch.arange(len(self._places), device=self._places.device)
            # An index put, unlike an assignment to a view, does not convert.
            self.keys[:, rows, self._places] = key_states.to(self.keys.dtype)
            self.values[:, rows, self._places] = value_states.to(self.values.dtype)
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Tokens of the longest row, padding included."""
        return self.prompt_keys.shape[2] + self._place

    def join(self, keys: Tensor, values: Tensor, rows: int) -> None:
        """Add prompts, given as at the start, and rows that have written nothing."""
        assert self.keys is not None
        assert self.values is not None
        self.prompt_keys = _beside(self.prompt_keys, keys.float().transpose(0, 1))
        self.prompt_values = _beside(self.prompt_values, values.float().transpose(0, 1))
        self.keys, self.values = (nn.functional.pad(part, (0, 0, 0, 0, 0, rows)) for part in (self.keys, self.values))

    def choose_prompts(self, indices: Tensor, spare: int) -> None:
        """Keep (and repeat) the prompts named by `indices`, without their first `spare` tokens, which are padding."""
        indices = indices.to(self.prompt_keys.device)
        self.prompt_keys = self.prompt_keys[:, :, spare:].index_select(1, indices)
        self.prompt_values = self.prompt_values[:, :, spare:].index_select(1, indices)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows named by `indices`."""
        assert self.keys is not None
        assert self.values is not None
        indices = indices.to(self.keys.device)
        self.keys, self.values = self.keys.index_select(1, indices), self.values.index_select(1, indices)


def _beside(first: Tensor, second: Tensor) -> Tensor:
    """Prompts of two calls, padded on the left to one length."""
    tokens = max(first.shape[2], second.shape[2])
    padded = [nn.functional.pad(states, (0, 0, tokens - states.shape[2], 0)) for states in (first, second)]
    return torch.cat(padded, 1)
