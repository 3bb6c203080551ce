"""Prompts that begin alike: what they share runs once, and each goes on from there.

A rubric's prompts differ in what is judged alone, and where the rubric comes first most of each is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from misdirection.engine.cache import new_cache
from misdirection.engine.passes import forward
from misdirection.engine.program import Program
from misdirection.engine.rows import Row
from misdirection.models import Model

_START = 64
"""What it costs to begin a pass, in tokens."""


def alike(prompts: Sequence[tuple[int, ...]]) -> list[tuple[int, list[int]]]:
    """Groups of prompts, so that the tokens that run, with what it costs to begin, are few.

    Args:
        prompts: Token ids, at least one each.

    Returns:
        (tokens that all prompts of the group begin with, at least one of each left; which prompts).
    """
    return _split(prompts, sorted(range(len(prompts)), key=lambda index: prompts[index]))[1] if prompts else []


def _split(prompts: Sequence[tuple[int, ...]], order: list[int]) -> tuple[int, list[tuple[int, list[int]]]]:
    """The least cost of prompts in alphabetical order, and their groups: all in one, or those apart that part first."""
    first, last = prompts[order[0]], prompts[order[-1]]
    most = min(len(prompts[index]) for index in order) - 1
    shared = next((n for n in range(most) if first[n] != last[n]), most) if len(order) > 1 else 0
    cost = shared + sum(len(prompts[index]) - shared for index in order) + _START * (1 + (shared > 0))
    parts: dict[int, list[int]] = {}
    for index in order:
        parts.setdefault(prompts[index][shared], []).append(index)
    if len(order) > 1 and len(parts) > 1:
        apart = [_split(prompts, part) for part in parts.values()]
        if (less := sum(part for part, _ in apart)) < cost:
            return less, [group for _, groups in apart for group in groups]
    return cost, [(shared, order)]


def prefill_behind(
    model: Model, program: Program, rows: Sequence[Row], beginning: Any, shared: int
) -> tuple[Any, Tensor, None]:
    """Run what prompts have behind a beginning; the cache as after whole prompts padded on the left, logits, no mask.

    Args:
        model: The resident model; `shared_prefix.can_share` of it.
        program: Attached.
        rows: Their prompts begin alike.
        beginning: Cache of that beginning, one row; it stays as it is.
        shared: Tokens of it.
    """
    lengths = torch.tensor([len(row.prompt.ids) - shared for row in rows])
    longest = int(lengths.max())
    mask = (torch.arange(longest) >= longest - lengths[:, None]).long()
    ids = torch.zeros_like(mask)
    ids[mask.bool()] = torch.tensor([token for row in rows for token in row.prompt.ids[shared:]])
    positions = shared + mask.cumsum(1) - 1
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[:, -1] = True
    arms = program.arm_index([row.arm for row in rows])
    program.bind(arms, mask.bool(), last, torch.where(mask.bool(), positions, -1))
    cache = new_cache(model)
    for layer, held in zip(cache.layers, beginning.layers, strict=True):
        layer.update(*(states.expand(len(rows), -1, -1, -1) for states in (held.keys, held.values)))
    padded = not bool(mask.all())
    seen = torch.cat([torch.ones(len(rows), shared, dtype=torch.long), mask], 1) if padded else None
    logits = forward(model, ids, cache, positions, seen)
    if padded:
        _move_padding(cache, shared, (longest - lengths).tolist())
    return cache, logits, None


def _move_padding(cache: Any, shared: int, padding: Sequence[int]) -> None:
    """Set the padding between beginning and rest before the beginning."""
    for layer in cache.layers:
        for name in ("keys", "values"):
            states = getattr(layer, name)
            turned = states.clone()
            for row, count in enumerate(padding):
                turned[row, :, count : count + shared] = states[row, :, :shared]
            setattr(layer, name, turned)
