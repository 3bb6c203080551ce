"""The two forward passes of sampling: over prompts, and over one more token a row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from misdirection.engine.cache import join_rows, joins_unpadded, new_cache, select_rows, states_lent
from misdirection.engine.program import Program
from misdirection.engine.rows import Row
from misdirection.models import Model
from misdirection.models.families import cache_argument, makes_its_states


def prefill(model: Model, program: Program, rows: list[Row]) -> tuple[Any, Tensor, Tensor | None]:
    """Run the prompts, padded on the left; cache, logits after the last token, and the mask where there is padding.

    Where a family's recurrent states would take the padding in, prompts of each length are run by themselves, and
    stand padded in the cache alone.
    """
    lengths = [len(row.prompt.ids) for row in rows]
    if len(set(lengths)) == 1 or not joins_unpadded(model):
        return _prefill(model, program, rows)
    order = sorted(range(len(rows)), key=lambda index: lengths[index])
    parts = [
        _prefill(model, program, [rows[index] for index in order if lengths[index] == length])
        for length in sorted(set(lengths))
    ]
    back = torch.tensor(order).argsort()
    cache = join_rows([part for part, *_ in parts])
    select_rows(cache, back)
    logits = torch.cat([part for _, part, _ in parts])
    longest = torch.arange(max(lengths))
    mask = (longest >= max(lengths) - torch.tensor(lengths)[:, None]).long()
    return cache, logits[back.to(logits.device)], mask


def _prefill(model: Model, program: Program, rows: list[Row]) -> tuple[Any, Tensor, Tensor | None]:
    longest = max(len(row.prompt.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, longest - len(row.prompt.ids) :] = torch.tensor(row.prompt.ids)
        mask[index, longest - len(row.prompt.ids) :] = 1
    positions = mask.cumsum(1) - 1
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[:, -1] = True
    program.bind(
        program.arm_index([row.arm for row in rows]), mask.bool(), last, torch.where(mask.bool(), positions, -1)
    )
    padded = not bool(mask.all())
    cache = new_cache(model)
    logits = forward(model, ids, cache, positions.clamp(min=0), mask if padded else None)
    return cache, logits, mask if padded else None


def forward(model: Model, ids: Tensor, cache: Any, positions: Tensor, mask: Tensor | None, **more: Any) -> Tensor:
    """Logits after the last token of each row, shape (rows, vocabulary); `more` reaches the attention."""
    device, argument = model.device, cache_argument(model.lm)
    own = makes_its_states(model.lm)
    if argument != "past_key_values" and ids.shape[1] == 1:
        mask = None  # there is no attention, and a mask of all tokens so far does not fit the one that is new
    with states_lent(model, cache):
        output = model.lm(
            input_ids=ids.to(device),
            attention_mask=None if mask is None else mask.to(device),
            position_ids=positions.to(device),
            use_cache=True,
            logits_to_keep=1,
            **{str(argument): cache.held if own else cache},
            **more,
        )
    if own:
        cache.held = output[argument]
    return output.logits[:, -1]
