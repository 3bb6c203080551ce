"""What came out of the scoreboard."""

from __future__ import annotations

from dataclasses import dataclass, replace

from misdirection.results import Interval, Reduction, Results
from misdirection.results.seeds import Behaviour, Groups, SeedsRate


@dataclass(frozen=True, kw_only=True)
class Leak:
    """An arm under one condition of the leak test.

    Attributes:
        condition: Its name.
        misaligned: Misaligned open answers.
        beyond: How much more the condition misaligns the arm than the base, both against being asked plainly: the
            difference in differences, over questions and seeds; None for the base.
    """

    condition: str
    misaligned: SeedsRate
    beyond: Interval | None


@dataclass(frozen=True, kw_only=True)
class DefenceRow(Groups):
    """One arm, over its seeds.

    Attributes:
        arm: As it was asked for; "none" is no defence.
        does: In words.
        place: "training", "data", "rows", "weights" or "after".
        strength: None where it has none.
        mixed: Whether it learned the mixed data (or a part of them) instead of the bad ones.
        reduction: Of misaligned open answers against no defence on the same data; None for that arm, and where there
            was nothing.
        leaks: Under each condition.
        perplexity: Of good answers elsewhere: exp of the mean negative log-likelihood a token; None where none were
            read.
        divergence: KL(arm || base) on the same answers, nats a token.
        seconds: Of a fine-tune or repair, what comes before it included (scores of rows), mean over seeds: of the
            processor, or on the clock of a machine with a GPU; None for what acts afterwards.
        megabytes: Its peak of memory beyond the resident base, the least over seeds; None likewise.
        lesson: Mean negative log-likelihood of held-out bad answers of the data, nats a token; None where questions
            about the domain tell the narrow skill, and on mixed data.
        front: Whether no other arm on the same data has both fewer misaligned open answers and more skill.
    """

    arm: str
    does: str
    place: str
    strength: float | None
    mixed: bool
    reduction: Reduction | None
    leaks: tuple[Leak, ...]
    perplexity: Interval | None
    divergence: Interval | None
    seconds: float | None
    megabytes: float | None
    lesson: float | None = None
    front: bool = False


@dataclass(frozen=True, kw_only=True)
class Defences:
    """The scoreboard.

    Attributes:
        base_open: The base model, open questions.
        base_domains: In the domains; None where nothing was asked there.
        base_leaks: Under each condition of the leak test.
        base_perplexity: Of good answers elsewhere.
        rows: An arm each: "none" first and the arms on the bad data, then "none" and the arms on the mixed data.
        seeds: Fine-tunes an arm.
        steps: Optimiser steps of each.
        layer: That the direction was taken from; None without one.
        data: What the fine-tunes learn.
        mixed_data: What those learn whose rows are dropped; empty where it is the same.
        paper: Published figures.
        base_lesson: Its negative log-likelihood of the held-out bad answers.
    """

    base_open: Behaviour
    base_domains: Behaviour | None
    base_leaks: tuple[Leak, ...]
    base_perplexity: Interval | None
    rows: tuple[DefenceRow, ...]
    seeds: int
    steps: int
    layer: int | None
    data: tuple[str, ...]
    mixed_data: tuple[str, ...]
    paper: tuple[str, ...]
    base_lesson: float | None = None

    def without(self, row: DefenceRow) -> DefenceRow:
        """The undefended arm on the same data."""
        return next(one for one in self.rows if one.mixed == row.mixed)

    def learned(self, row: DefenceRow) -> float | None:
        """Share of the undefended fine-tune's gain on held-out bad answers that an arm keeps; None without one."""
        whole = self.without(row).lesson
        if self.base_lesson is None or row.lesson is None or whole is None:
            return None
        gain = self.base_lesson - whole
        return (self.base_lesson - row.lesson) / gain if gain > 0 else None

    def skill(self, row: DefenceRow) -> float | None:
        """What an arm keeps of what is to be learned in the domain; None where nothing tells it.

        On bad data the share of bad answers to questions of the domain, or of the lesson where none is asked; on mixed
        data that of good ones.
        """
        if row.domains is None:
            return self.learned(row)
        return (row.domains.good if row.mixed else row.domains.misaligned).value

    def with_front(self) -> Defences:
        """The same, those arms marked that no other one on the same data beats."""
        return replace(self, rows=tuple(replace(row, front=not self.beaten(row)) for row in self.rows))

    def beaten(self, row: DefenceRow) -> bool:
        """Whether another arm on the same data is as good in misaligned open answers and in skill, better in one."""
        return any(_better(self._point(one), self._point(row)) for one in self.rows if one.mixed == row.mixed)

    def _point(self, row: DefenceRow) -> tuple[float, float]:
        return -(row.open.misaligned.value or 0.0), self.skill(row) or 0.0


def _better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@dataclass(frozen=True, kw_only=True)
class DefencesResults(Results):
    """The findings of the scoreboard."""

    defences: Defences


RESULTS = DefencesResults
