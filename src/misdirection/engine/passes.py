"""The forward passes of sampling: over prompts, and over one more token a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from misdirection.engine.batching import pass_budget, run_batches
from misdirection.engine.cache import join_rows, joins_unpadded, left_padded, new_cache, select_rows, states_lent
from misdirection.engine.program import Program
from misdirection.engine.reading import Pass, can_go_on, read
from misdirection.engine.rows import Row
from misdirection.engine.texts import Text
from misdirection.models import Model
from misdirection.models.families import RECURRENT, cache_argument, family_of, makes_its_states

Out = TypeVar("Out")
Prefilled = tuple[Any, Tensor, Tensor | None]
"""The cache of prompts padded on the left, logits after the last token, and the mask where there is padding."""


def texts_of(rows: Sequence[Row]) -> list[Text]:
    """Prompts as texts without an answer."""
    return [Text(row.prompt.ids, {}, row.arm, len(row.prompt.ids)) for row in rows]


def prefill(model: Model, program: Program, rows: Sequence[Row]) -> Prefilled:
    """Run the prompts; what some begin with runs once where attention is plain.

    Where a family's recurrent states would take padding in, prompts of each length are run by themselves, and stand
    padded in the cache alone.
    """
    lengths = [len(row.prompt.ids) for row in rows]
    parts: list[tuple[Sequence[int], Prefilled]]
    if can_go_on(model):
        parts = list(prefills(model, program, rows, pass_budget(model), lambda some, found: (some, found)))
    elif len(set(lengths)) == 1 or not joins_unpadded(model):
        return _prefill(model, program, rows)
    else:
        alike = [[index for index, one in enumerate(lengths) if one == length] for length in sorted(set(lengths))]
        parts = [(some, _prefill(model, program, [rows[index] for index in some])) for some in alike]
    order = [index for some, _ in parts for index in some]
    cache = join_rows([part for _, (part, *_) in parts])
    logits = torch.cat([part for _, (_, part, _) in parts])
    if order != sorted(order):
        back = torch.tensor(order).argsort()
        select_rows(cache, back)
        logits = logits[back.to(logits.device)]
    if len(set(lengths)) == 1:
        return cache, logits, None
    return cache, logits, (torch.arange(max(lengths)) >= max(lengths) - torch.tensor(lengths)[:, None]).long()


def prefills(
    model: Model,
    program: Program,
    rows: Sequence[Row],
    budget: int,
    then: Callable[[Sequence[int], Prefilled], Out],
) -> Iterator[Out]:
    """Run the prompts in passes of so many tokens; what some begin with runs once where attention is plain.

    Args:
        model: The resident model.
        program: Attached.
        rows: Whose prompts; their samples are not looked at.
        budget: Tokens a pass may hold.
        then: Called behind each pass with the indices of its rows; called again for rows that did not fit in memory.

    Yields:
        What `then` gives.
    """
    if not can_go_on(model):

        def alone(some: list[int]) -> Out:
            return then(some, prefill(model, program, [rows[index] for index in some]))

        for _, out in run_batches(range(len(rows)), lambda index: len(rows[index].prompt.ids), budget, alone):
            yield out
        return

    def run(part: Pass) -> Out | None:
        inputs = part.inputs(program)
        if part.shared:
            model.decoder(**inputs)
            return None
        logits = model.lm(**inputs, logits_to_keep=1).logits[:, -1]
        cache = part.cache(program)
        mask = left_padded(cache, part.seen())
        return then(part.texts, (cache, logits, mask))

    for part, out in read(model, texts_of(rows), budget, run, keep=True):
        if not part.shared:
            yield out  # pyright: ignore[reportReturnType]


def _prefill(model: Model, program: Program, rows: Sequence[Row]) -> Prefilled:
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
    if family_of(model.lm) in RECURRENT and ids.shape[1] == 1:
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
