"""Given texts and prompts in passes: what several begin with runs once, and each goes on from there.

Texts under arms that act alike on a common beginning have the same states there. Its keys and values are kept from
the pass over it, and later passes hold what stands behind (`beginnings`). Nothing but the order of sums differs from
texts that run whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from misdirection.engine.batching import default_budget, run_batches
from misdirection.engine.beginnings import Part, parts
from misdirection.engine.cache import RoomyLayer, new_cache
from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.engine.slots import in_stream
from misdirection.engine.texts import Text, bind_rows, pad
from misdirection.models import Model
from misdirection.models.families import PLAIN_ATTENTION, cache_argument

Out = TypeVar("Out")


@dataclass
class Pass:
    """What runs at once: rows of tokens, and which tokens of which texts they are.

    Attributes:
        texts: Indices of the texts.
        rows: In which row each text's tokens are; a row of a common beginning belongs to several texts.
        spans: Which tokens of each text the pass holds (first, past the last).
        shifts: What is added to the place of a token in its text for its place in the row.
        ids: Shape (rows, tokens).
        positions: Of each token in its text; -1 at padding.
        starts: First token of each row's answer, shape (rows, 1).
        owners: A text of each row, whose arm holds.
        behind: The pass over the beginnings that these rows go on from, and the row of it that each does.
        shared: Whether these are beginnings that several texts have in common; the texts end in later passes.
        kept: Whether keys and values are kept; rows are then padded on the left, so that what follows stands beside
            their end.
    """

    texts: list[int]
    rows: list[int]
    spans: list[tuple[int, int]]
    shifts: list[int]
    ids: Tensor
    positions: Tensor
    starts: Tensor
    owners: list[Text]
    behind: tuple[Pass, list[int]] | None
    shared: bool
    kept: bool
    _caches: dict[int, Any] = field(default_factory=dict[int, Any], repr=False)

    def inputs(self, program: Program) -> dict[str, Any]:
        """Bind a program to these rows, under its own arm where it has but one; the arguments of a forward pass."""
        model = program.model
        arms = [program.arms[0] if len(program.arms) == 1 else text.arm for text in self.owners]
        bind_rows(program, arms, self.starts, self.positions)
        ids = self.ids.to(model.device)
        if not self.kept and self.behind is None:
            return {"input_ids": ids, "use_cache": False}
        cache, seen = new_cache(model), self.seen()
        if self.kept:
            self._caches[id(program)] = cache
        if self.behind is not None:
            before, fan = self.behind
            rows = torch.tensor(fan, device=model.device)
            for layer, held in zip(cache.layers, before.cache(program).layers, strict=True):
                if held.keys is not None:  # a pass may end before the last layer
                    layer.update(held.keys.index_select(0, rows), held.values.index_select(0, rows))
        return {
            "input_ids": ids,
            "attention_mask": None if bool(seen.all()) else seen.long().to(model.device),
            "position_ids": self.positions.clamp(min=0).to(model.device),
            str(cache_argument(model.lm)): cache,
            "use_cache": True,
        }

    def cache(self, program: Program) -> Any:
        """The keys and values of its rows under a program, from their first token on; only where they are kept."""
        return self._caches[id(program)]

    def seen(self) -> Tensor:
        """Where these keys and values are a row's own, False at padding, shape (rows, tokens from the first on)."""
        # Padding behind the end of a text needs no mask: nothing that is read comes after it.
        own = self.positions >= 0 if self.kept else torch.ones_like(self.positions, dtype=torch.bool)
        return own if self.behind is None else torch.cat([self.behind[0].seen()[self.behind[1]], own], 1)

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
    keep: bool = False,
) -> Iterator[tuple[Pass, Out]]:
    """Run all texts in length-sorted passes, those that begin alike behind the pass over their beginning.

    Args:
        model: The resident model.
        texts: What is read.
        budget: Tokens a pass may hold.
        run: Runs a pass; called again for texts whose pass did not fit in memory.
        whole: Leave beginnings where they are.
        keep: Keep keys and values of whole texts too.

    Yields:
        Each pass with its result, in which each token of each text is once, in order.

    Raises:
        NotEnoughMemoryError: Not even a single row fits.
    """
    begin = [Part(len(text.ids), [index]) for index, text in enumerate(texts)]
    if not whole and can_go_on(model):
        begin = beginnings(texts)
    # What is kept of beginnings counts too, and must not be more than sampling would keep.
    share = budget / max(1, default_budget(model))

    def length(item: tuple[Part, int, int]) -> int:
        part, first, _ = item
        return max(part.past - first, round(share * part.past) if first else 0)

    def adapter(item: tuple[Part, int, int]) -> str:
        return texts[item[0].members[0]].arm.adapter or ""

    def onward(items: list[tuple[Part, int, int]], before: Pass | None) -> Iterator[tuple[Pass, Out]]:
        def done(some: list[tuple[Part, int, int]]) -> tuple[Pass, Out]:
            part = _pass(texts, some, before, keep)
            return part, run(part)

        for shared in (False, True):
            here = [item for item in items if bool(item[0].after) == shared]
            for some, (part, out) in run_batches(here, length, budget, done, adapter):
                yield part, out
                if shared:
                    behind = [(one, held.past, row) for row, (held, *_) in enumerate(some) for one in held.after]
                    yield from onward(behind, part)

    yield from onward([(part, 0, 0) for part in begin], None)


def can_go_on(model: Model) -> bool:
    """Whether texts may go on from the cache of their beginning: plain attention over all tokens."""
    return model.lm.config.model_type in PLAIN_ATTENTION and all(
        type(layer) is RoomyLayer for layer in new_cache(model).layers
    )


def beginnings(texts: Sequence[Text]) -> list[Part]:
    """What texts begin with alike, no further than to their answers, and under arms that act alike on it."""
    numbers: dict[object, int] = {}

    def number(of: object) -> int:
        return numbers.setdefault(of, len(numbers))

    def prompt(text: Text) -> tuple[int, ...]:
        # The last token of a prompt is one of the answer's positions.
        ids = text.ids[: text.start]
        return (*ids[:-1], -1 - number((ids[-1], _acts(text.arm)))) if ids else ()

    kinds = [number(_acts(text.arm, "prompt")) for text in texts]
    return parts([prompt(text) for text in texts], [len(text.ids) for text in texts], kinds)


def _acts(arm: Arm, where: str = "") -> tuple[object, ...]:
    """What an arm does, so that arms of the same do the same; "prompt" leaves out what acts on answers alone."""
    held = (item for item in arm.interventions if not where or getattr(in_stream(item), "positions", where) != "answer")
    return (arm.adapter, *(id(item) for item in held))


def _pass(texts: Sequence[Text], some: Sequence[tuple[Part, int, int]], before: Pass | None, keep: bool) -> Pass:
    """Parts, each with its first token and the row that it goes on from."""
    shared = bool(some[0][0].after)
    kept = keep or shared
    owners = [texts[part.members[0]] for part, *_ in some]
    firsts = [first for _, first, _ in some]
    tokens = [owner.ids[first : part.past] for owner, (part, first, _) in zip(owners, some, strict=True)]
    ids, positions = pad(tokens, firsts, "left" if kept else "right")
    members = [(index, row) for row, (part, *_) in enumerate(some) for index in part.members]
    return Pass(
        texts=[index for index, _ in members],
        rows=[row for _, row in members],
        spans=[(firsts[row], some[row][0].past) for _, row in members],
        shifts=[ids.shape[1] - some[row][0].past if kept else -firsts[row] for _, row in members],
        ids=ids,
        positions=positions,
        starts=torch.tensor([text.start for text in owners])[:, None],
        owners=owners,
        behind=None if before is None else (before, [row for *_, row in some]),
        shared=shared,
        kept=kept,
    )
