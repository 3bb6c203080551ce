"""Samples of a prompt that attend to one copy of its keys and values.

The samples of one (prompt, arm) see the same prompt, so that their queries against it are one matrix product a group
instead of one vector product a row, over keys that are read once. With q the queries, K and V the prompt's keys and
values and K', V' a row's own, a row's output is softmax(s [q K^T, q K'^T]) [V; V']: one softmax over both parts, as
in plain attention, whose sums only run in another order (shared-prefix attention: Hydragen, 2402.05099).

Prompt and answer lie apart, so that rows at different steps stand beside each other, and new ones may join.

`attend` stands in for a model's attention through transformers' own `AttentionInterface`, one forward pass at a time,
and only where attention is plain: over all tokens, without sinks, soft caps or position biases. Scores, softmax and
sums are in float32: a half precision would round the scores before the softmax. On a CPU the keys and values of a model
in half precision are kept in float32 to this end; on a GPU such a model keeps its own attention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache

from misdirection.engine import passes
from misdirection.engine.reading import can_go_on
from misdirection.engine.split_layer import SplitLayer
from misdirection.models import Model

_NAME = "misdirection_shared_prefix"


def can_share(model: Model) -> bool:
    """Whether the attention of every layer may be split into prompt and answer."""
    return can_go_on(model) and (model.lm.dtype == torch.float32 or model.device.type == "cpu")


class SharedPrompts:
    """The running rows of a batch around one copy of each of their prompts.

    Args:
        model: The resident model.
        cache: Of the prefilled prompts, padded on the left; taken over.
        members: Which prompt each row continues.
        lengths: Tokens of each prompt.
    """

    def __init__(self, model: Model, cache: DynamicCache, members: Sequence[int], lengths: Sequence[int]) -> None:
        self._model, self._config, self.cache = model, model.lm.config, cache
        self.layers = [SplitLayer(layer.keys, layer.values, len(members)) for layer in cache.layers]  # pyright: ignore
        cache.layers = [*self.layers]  # pyright: ignore[reportAttributeAccessIssue]
        self._device = self.layers[0].prompt_keys.device
        self._members = list(members)
        self._owners = list(range(len(lengths)))
        self._lengths = list(lengths)
        self._own = torch.zeros(len(members), dtype=torch.long)
        self._sit()

    def join(self, cache: DynamicCache, members: Sequence[int], lengths: Sequence[int]) -> None:
        """Set new rows, with a cache of their prompts like the first, behind those that are there."""
        for layer, new in zip(self.layers, cache.layers, strict=True):
            layer.join(new.keys, new.values, len(members))  # pyright: ignore
        self._owners += [len(self._lengths) + number for number in range(len(lengths))]
        self._members += [len(self._lengths) + member for member in members]
        self._lengths += lengths
        self._own = torch.cat([self._own, torch.zeros(len(members), dtype=torch.long)])
        self._sit()

    def keep(self, indices: Tensor) -> None:
        """Keep the rows named by `indices`, and the prompts that these need."""
        for layer in self.layers:
            layer.batch_select_indices(indices)
        self._members = [self._members[index] for index in indices.tolist()]
        self._own = self._own[indices]
        self._sit()

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Logits after one more token a row, both inputs of shape (rows, 1)."""
        self._advance()
        with self._attention():
            return passes.forward(self._model, tokens, self.cache, positions, None, shared=self)

    @contextmanager
    def _attention(self) -> Generator[None]:
        before = self._config._attn_implementation  # pyright: ignore[reportPrivateUsage]
        self._config._attn_implementation = _NAME  # pyright: ignore[reportPrivateUsage]
        try:
            yield
        finally:
            self._config._attn_implementation = before  # pyright: ignore[reportPrivateUsage]

    def _advance(self) -> None:
        """Tell the layers where each row's next token goes, and what of the rows' own tokens is to be seen."""
        widest = int(self._own.max())
        places = None if int(self._own.min()) == widest else self._own.to(self._device)
        for layer in self.layers:
            layer.expect(widest, places)
        self._own = self._own + 1  # a new tensor: the layers hold this one
        self.unseen: Tensor | None = None
        if places is not None:
            later = torch.arange(widest + 1, device=self._device) > places[:, None]
            self.unseen = torch.where(later, -torch.inf, 0.0)[:, None]

    def _sit(self) -> None:
        """Give each row a seat in its group; a group far larger than the others becomes several with a copy each."""
        owners, self.seats, taken = seat(self._members)
        if owners != self._owners:
            chosen = torch.tensor([self._owners.index(owner) for owner in owners])
            spare = self.layers[0].prompt_keys.shape[2] - max(self._lengths[owner] for owner in owners)
            for layer in self.layers:
                layer.choose_prompts(chosen, spare)
            self._owners = owners
        tokens = self.layers[0].prompt_keys.shape[2]
        padding = torch.tensor([tokens - self._lengths[owner] for owner in owners], device=self._device)
        hidden = torch.where(torch.arange(tokens, device=self._device) < padding[:, None], -torch.inf, 0.0)
        self._hidden = hidden[:, None, None] if bool(padding.any()) else None
        self._taken: Tensor | None = None
        if taken != list(range(len(owners) * self.seats)):
            self._taken = torch.tensor(taken, device=self._device)
            self._rows = torch.zeros(len(owners) * self.seats, dtype=torch.long, device=self._device)
            self._rows[self._taken] = torch.arange(len(taken), device=self._device)

    def prompt_scores(self, layer: int, queries: Tensor, out: Tensor) -> None:
        """Write the products of queries, (heads, rows, repeats, width), with the prompts' keys to `out`, (..., p)."""
        keys = self.layers[layer].prompt_keys
        heads, groups, tokens, width = keys.shape
        found = torch.bmm(self._seated(queries).reshape(heads * groups, -1, width), keys.flatten(0, 1).mT)
        found = found.view(heads, groups, self.seats, -1, tokens)
        if self._taken is None:
            _add(found, self._hidden, out.unflatten(1, (groups, self.seats)))
        else:
            hidden = None if self._hidden is None else self._hidden[self._taken // self.seats, 0]
            _add(found.flatten(1, 2).index_select(1, self._taken), hidden, out)

    def add_prompt_values(self, layer: int, chances: Tensor, out: Tensor) -> None:
        """Add what rows take from the prompts, by chances (heads, rows, repeats, p), to `out`, (..., width)."""
        values = self.layers[layer].prompt_values
        heads, groups, tokens, width = values.shape
        chances = self._seated(chances).reshape(heads * groups, -1, tokens)
        if self._taken is None:
            out.view(heads * groups, -1, width).baddbmm_(chances, values.flatten(0, 1))
        else:
            found = torch.bmm(chances, values.flatten(0, 1)).view(heads, groups * self.seats, -1, width)
            out.add_(found.index_select(1, self._taken))

    def _seated(self, states: Tensor) -> Tensor:
        return states if self._taken is None else states.index_select(1, self._rows)


def seat(members: Sequence[int]) -> tuple[list[int], int, list[int]]:
    """Seats for rows, in groups of one size, at most about three a row.

    Args:
        members: Whose samples the rows are.

    Returns:
        Whose each group of seats is; seats a group; the seat of each row, counted through all groups.
    """
    sizes = Counter(members)
    widest = max(sizes.values())
    seats = widest if widest * len(sizes) <= 2 * len(members) else -(-len(members) // len(sizes))
    owners: list[int] = []
    free: dict[int, range] = {}
    taken: list[int] = []
    for member in members:
        if not free.get(member):
            free[member] = range(len(owners) * seats, (len(owners) + 1) * seats)
            owners.append(member)
        taken.append(free[member][0])
        free[member] = free[member][1:]
    return owners, seats, taken


def _add(states: Tensor, change: Tensor | None, out: Tensor) -> None:
    if change is None:
        out.copy_(states)
    else:
        torch.add(states, change, out=out)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    shared: SharedPrompts,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one new token a row to its prompt and to what it has written.

    Args:
        module: The attention module; its `layer_idx` names the layer.
        query: Shape (rows, heads, 1, width).
        key: Own keys as `SplitLayer` returns them, (key heads, rows, own tokens, width).
        value: Own values, same shape.
        attention_mask: Not looked at: the rows know what they see.
        scaling: Of the scores.
        shared: The rows.

    Returns:
        Shape (rows, 1, heads, width), and no weights.
    """
    heads, rows, own, width = key.shape
    layer: Any = module.layer_idx
    queries = (query.to(key.dtype) * scaling).reshape(rows, heads, -1, width).transpose(0, 1).contiguous()
    repeats = queries.shape[2]
    prompt = shared.layers[layer].prompt_keys.shape[2]
    scores = queries.new_empty(heads, rows, repeats, prompt + own)
    shared.prompt_scores(layer, queries, scores[..., :prompt])
    found = torch.bmm(queries.flatten(0, 1), key.flatten(0, 1).mT).view(heads, rows, repeats, own)
    _add(found, shared.unseen, scores[..., prompt:])
    chances = torch.softmax(scores, -1)
    found = torch.bmm(chances.flatten(0, 1)[..., prompt:], value.flatten(0, 1)).view(heads, rows, repeats, width)
    shared.add_prompt_values(layer, chances[..., :prompt], found)
    return found.transpose(0, 1).reshape(rows, 1, heads * repeats, width).to(query.dtype), None


AttentionInterface.register(_NAME, attend)
