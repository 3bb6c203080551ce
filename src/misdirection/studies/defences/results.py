"""What came out of the scoreboard."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Reduction, Results
from misdirection.results.seeds import Behaviour, Groups, SeedsRate


@dataclass(frozen=True, kw_only=True)
class Leak:
    """An arm under one condition of the leak test."""

    condition: str
    misaligned: SeedsRate


@dataclass(frozen=True, kw_only=True)
class DefenceRow(Groups):
    """One arm, over its seeds.

    Attributes:
        arm: As it was asked for; "none" is no defence.
        does: In words.
        place: "training", "data" or "after".
        strength: None where it has none.
        reduction: Of misaligned open answers against no defence; None for that arm, and where there was nothing.
        leaks: Under each condition.
        nll: Mean negative log-likelihood of good answers elsewhere, nats a token; None where it was not measured.
        seconds: Of a fine-tune, mean over seeds; None for what acts afterwards.
        lesson: Mean negative log-likelihood of held-out bad answers of the data, nats a token; None where questions
            about the domain tell the narrow skill.
    """

    arm: str
    does: str
    place: str
    strength: float | None
    reduction: Reduction | None
    leaks: tuple[Leak, ...]
    nll: float | None
    seconds: float | None
    lesson: float | None = None


@dataclass(frozen=True, kw_only=True)
class Defences:
    """The scoreboard.

    Attributes:
        base_open: The base model, open questions.
        base_domains: In the domains; None where nothing was asked there.
        base_leaks: Under each condition of the leak test.
        base_nll: Its negative log-likelihood of good answers elsewhere.
        rows: An arm each, "none" first.
        seeds: Fine-tunes an arm.
        steps: Optimiser steps of each.
        layer: That the direction was taken from; None without one.
        paper: Published figures.
        base_lesson: Its negative log-likelihood of the held-out bad answers.
    """

    base_open: Behaviour
    base_domains: Behaviour | None
    base_leaks: tuple[Leak, ...]
    base_nll: float | None
    rows: tuple[DefenceRow, ...]
    seeds: int
    steps: int
    layer: int | None
    paper: tuple[str, ...]
    base_lesson: float | None = None

    def learned(self, row: DefenceRow) -> float | None:
        """Share of the undefended fine-tune's gain on held-out bad answers that an arm keeps; None without one."""
        if self.base_lesson is None or row.lesson is None or self.rows[0].lesson is None:
            return None
        gain = self.base_lesson - self.rows[0].lesson
        return (self.base_lesson - row.lesson) / gain if gain > 0 else None


@dataclass(frozen=True, kw_only=True)
class DefencesResults(Results):
    """The findings of the scoreboard."""

    defences: Defences


RESULTS = DefencesResults
