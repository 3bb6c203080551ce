"""The sections of the report, in the order in which they are read. One file each, all of the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from misdirection.report.parts import Findings, Section
from misdirection.report.sections import (
    answers,
    cures,
    direction,
    drift,
    formats,
    pairs,
    questions,
    rates,
    reproduce,
    scatter,
    semantic,
    steering,
    tokens,
    training,
    verdict,
)


@dataclass(frozen=True)
class Entry:
    """A section and the parts of the findings that it reads.

    Attributes:
        title: Its heading, also when it is left out.
        parts: Names of the parts of the findings; it is left out when none of them is there.
        judged: It needs a judge's verdicts.
        make: Findings to section; None when the findings do not allow it.
        kinds: Studies that are expected to have it: in their reports it is named where it is left out; in the
            reports of others it stands when they have its parts.
    """

    title: str
    parts: tuple[str, ...]
    judged: bool
    make: Callable[[Findings], Section | None]
    kinds: tuple[str, ...] = ("audit",)


SECTIONS = (
    Entry("Verdict", ("verdict",), False, verdict.section),
    Entry("Misaligned answers", ("rates",), True, rates.section),
    Entry("By question", ("by_question",), True, questions.section),
    Entry("Alignment and coherence", ("answers",), True, scatter.section),
    Entry("The direction", ("direction",), False, direction.section),
    Entry("Steering", ("steering",), True, steering.section),
    Entry("Cures", ("cures",), True, cures.section),
    Entry("Directions of single topics", ("semantic",), True, semantic.section, ("semantic",)),
    Entry("Rates by the way of asking", ("formats",), True, formats.section, ("formats",)),
    Entry("Drift", ("drift",), False, drift.section),
    Entry("Token by token", ("tokens",), False, tokens.section),
    Entry("Side by side", ("pairs",), False, pairs.section),
    Entry("Answers", ("answers",), False, answers.section),
    Entry("Training", ("training", "data"), False, training.section),
    Entry("How to reproduce this", ("reproduce", "settings", "notes"), False, reproduce.section),
)
