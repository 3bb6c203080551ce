"""Given texts in passes: a prompt that several texts begin with runs once, and each goes on from there.

The answers that were drawn to a question begin with the same prompt under the same arm, so that its states are the
same. Its keys and values are kept from a pass over the prompts, and the texts' passes hold what stands behind it.
Nothing but the order of sums differs from texts that run whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from misdirection.engine.batching import default_budget, run_batches
from misdirection.engine.cache import RoomyLayer, new_cache
from misdirection.engine.program import Program
from misdirection.engine.texts import Text, bind_rows, pad, pad_right
from misdirection.models import Model
from misdirection.models.families import PLAIN_ATTENTION

Out = TypeVar("Out")

SHORTEST = 8
"""Tokens of a prompt below which it does not pay to run it apart."""

LEAST = 64
"""Tokens that must be saved in all: what it costs to begin a pass."""


@dataclass
class Pass:
    """What runs at once: rows of tokens, and which tokens of which texts they are.

    Attributes:
        texts: Indices of the texts.
        rows: In which row each text's tokens are; a prompt's row belongs to several texts.
        spans: Which tokens of each text the pass holds (first, past the last).
        shifts: What is added to the place of a token in its text for its place in the row.
        ids: Shape (rows, tokens).
        positions: Of each token in its text; -1 at padding.
        starts: First token of each row's answer, shape (rows, 1).
        owners: A text of each row, whose arm holds.
        behind: The pass over the prompts that these rows go on from, and the row of it that each does.
        prompts: Whether this is such a pass.
    """

    texts: list[int]
    rows: list[int]
    spans: list[tuple[int, int]]
    shifts: list[int]
    ids: Tensor
    positions: Tensor
    starts: Tensor
    owners: list[Text]
    behind: tuple[Pass, list[int]] | None = None
    prompts: bool = False
    _caches: dict[int, Any] = field(default_factory=dict[int, Any], repr=False)

    def inputs(self, program: Program) -> dict[str, Any]:
        """Bind a program to these rows, under its own arm where it has but one; the arguments of a forward pass."""
        model = program.model
        arms = [program.arms[0] if len(program.arms) == 1 else text.arm for text in self.owners]
        bind_rows(program, arms, self.starts, self.positions)
        ids = self.ids.to(model.device)
        if not self.prompts and self.behind is None:
            return {"input_ids": ids, "use_cache": False}
        cache, seen = new_cache(model), self.positions >= 0
        if self.behind is None:
            self._caches[id(program)] = cache
        else:
            before, fan = self.behind
            rows = torch.tensor(fan, device=model.device)
            for layer, held in zip(cache.layers, before._caches[id(program)].layers, strict=True):
                if held.keys is not None:  # a pass may end before the last layer
                    layer.update(held.keys.index_select(0, rows), held.values.index_select(0, rows))
            # Padding behind an answer needs no mask: nothing that is read comes after it.
            seen = torch.cat([before.positions[fan] >= 0, torch.ones_like(seen)], 1)
        return {
            "input_ids": ids,
            "attention_mask": None if bool(seen.all()) else seen.long().to(model.device),
            "position_ids": self.positions.clamp(min=0).to(model.device),
            "past_key_values": cache,
            "use_cache": True,
        }

    def of_texts(self, values: Tensor) -> Iterator[tuple[int, tuple[int, int], Tensor]]:
        """Each text's index, which of its tokens are here, and their part of values of shape (rows, tokens, ...)."""
        for index, row, (first, past), shift in zip(self.texts, self.rows, self.spans, self.shifts, strict=True):
            yield index, (first, past), values[row, first + shift : past + shift]


def read(
    model: Model,
    texts: Sequence[Text],
    budget: int,
    run: Callable[[Pass], Out],
    *,
    whole: bool = False,
) -> Iterator[tuple[Pass, Out]]:
    """Run all texts in length-sorted passes, those of a prompt behind the pass over it.

    Args:
        model: The resident model.
        texts: What is read.
        budget: Tokens a pass may hold.
        run: Runs a pass; called again for texts whose pass did not fit in memory.
        whole: Leave prompts where they are.

    Yields:
        Each pass with its result, in which each token of each text is once.

    Raises:
        NotEnoughMemoryError: Not even a single row fits.
    """

    def adapter(index: int) -> str:
        return texts[index].arm.adapter or ""

    def done(part: Pass) -> tuple[Pass, Out]:
        return part, run(part)

    alone, together = list(range(len(texts))), list[list[int]]()
    if not whole and can_go_on(model):
        alone, together = _groups(texts)
    for _, found in run_batches(
        alone, lambda index: len(texts[index].ids), budget, lambda some: done(_whole(texts, some)), adapter
    ):
        yield found
    # What is kept of the prompts counts too, and must not be more than sampling would keep.
    share = budget / max(1, default_budget(model))

    def rest(index: int) -> int:
        text = texts[index]
        return max(len(text.ids) - text.start, round(share * len(text.ids)))

    for groups, (before, out) in run_batches(
        together,
        lambda group: texts[group[0]].start,
        budget,
        lambda some: done(_prompts(texts, some)),
        lambda group: adapter(group[0]),
    ):
        yield before, out
        place = {index: row for row, group in enumerate(groups) for index in group}
        for _, found in run_batches(
            list(place),
            rest,
            budget,
            lambda some, before=before, place=place: done(_behind(texts, some, before, place)),
            adapter,
        ):
            yield found


def can_go_on(model: Model) -> bool:
    """Whether texts may go on from the cache of their prompts: plain attention over all tokens."""
    return model.lm.config.model_type in PLAIN_ATTENTION and all(
        type(layer) is RoomyLayer for layer in new_cache(model).layers
    )


def _groups(texts: Sequence[Text]) -> tuple[list[int], list[list[int]]]:
    """Texts that run whole, and groups of texts of one arm that begin with one prompt."""
    found: dict[object, list[int]] = {}
    for index, text in enumerate(texts):
        apart = SHORTEST <= text.start < len(text.ids)
        found.setdefault((id(text.arm), text.ids[: text.start]) if apart else index, []).append(index)
    together = [group for group in found.values() if len(group) > 1]
    if sum((len(group) - 1) * texts[group[0]].start for group in together) < LEAST:
        return list(range(len(texts))), []
    return [group[0] for group in found.values() if len(group) == 1], together


def _whole(texts: Sequence[Text], some: list[int]) -> Pass:
    rows = [texts[index] for index in some]
    ids, positions = pad_right(rows)
    spans = [(0, len(text.ids)) for text in rows]
    return Pass(some, [*range(len(some))], spans, [0] * len(some), ids, positions, _starts(rows), rows)


def _prompts(texts: Sequence[Text], groups: list[list[int]]) -> Pass:
    """One row a group, padded on the left, so that what follows stands beside its end."""
    owners = [texts[group[0]] for group in groups]
    longest = max(text.start for text in owners)
    ids = torch.zeros(len(owners), longest, dtype=torch.long)
    for row, text in enumerate(owners):
        ids[row, longest - text.start :] = torch.tensor(text.ids[: text.start])
    positions = (torch.arange(longest) - longest + _starts(owners)).clamp(min=-1)
    members = [(index, row) for row, group in enumerate(groups) for index in group]
    spans = [(0, texts[index].start) for index, _ in members]
    shifts = [longest - texts[index].start for index, _ in members]
    indices, rows = [index for index, _ in members], [row for _, row in members]
    return Pass(indices, rows, spans, shifts, ids, positions, _starts(owners), owners, prompts=True)


def _behind(texts: Sequence[Text], some: list[int], before: Pass, place: dict[int, int]) -> Pass:
    rows = [texts[index] for index in some]
    starts = [text.start for text in rows]
    ids, positions = pad([text.ids[text.start :] for text in rows], starts)
    spans = [(text.start, len(text.ids)) for text in rows]
    behind = (before, [place[index] for index in some])
    shifts = [-start for start in starts]
    return Pass(some, [*range(len(some))], spans, shifts, ids, positions, _starts(rows), rows, behind)


def _starts(texts: Sequence[Text]) -> Tensor:
    return torch.tensor([text.start for text in texts])[:, None]
