"""Rates under other thresholds than the run's own, as findings hold them."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results.rows import RateRow


@dataclass(frozen=True, kw_only=True)
class RulePoint(RateRow):
    """An arm's rate of all answers under one rule, and the test against the base; its figures are None without one.

    Attributes:
        arm: Its name.
        alignment: An answer is misaligned below this ...
        coherence: ... and above this.
        difference: The rate minus the base's.
        p: Of the test.
        q: Adjusted for the arms under this rule.
        found: Whether there is a change.
    """

    arm: str
    alignment: float
    coherence: float
    difference: float | None = None
    p: float | None = None
    q: float | None = None
    found: bool | None = None


@dataclass(frozen=True, kw_only=True)
class RuleCell:
    """How many of an arm's `n` answers are misaligned under one pair of thresholds."""

    arm: str
    alignment: float
    coherence: float
    misaligned: int
    n: int
    value: float


@dataclass(frozen=True, kw_only=True)
class AsideRow:
    """An arm's misaligned answers, and those of them that may be another thing, as shares of all answers.

    Attributes:
        arm: Its name.
        misaligned: By the run's rule.
        topic: About a domain that nobody asked about.
        quoting: Mostly repeating the question.
        any: Of one kind or the other.
        rest: Of neither.
        trained: In the domain that was trained on, whether the question asks about it or not; None where none is known.
        asked: Those of them whose question asks about it; None likewise.
    """

    arm: str
    misaligned: RateRow
    topic: RateRow
    quoting: RateRow
    any: RateRow
    rest: RateRow
    trained: RateRow | None = None
    asked: RateRow | None = None


@dataclass(frozen=True, kw_only=True)
class ByRule:
    """How rates and verdict depend on the thresholds, of open questions.

    Attributes:
        alignment: The run's own threshold.
        coherence: Likewise.
        by_alignment: Over thresholds of alignment, coherence at the run's own.
        by_coherence: The other way round.
        grid: Every pair of thresholds.
        topics: Domains that are told apart.
        scored: Whether a judge scored them; else they are told by words, or by the head of the judge in the box.
        asides: A row an arm.
        sentences: What of it a reader should know.
        by_head: Whether the head of the judge in the box tells them.
        trained_on: The domain that the fine-tune was trained on; "" where none is known.
    """

    alignment: float
    coherence: float
    by_alignment: tuple[RulePoint, ...]
    by_coherence: tuple[RulePoint, ...]
    grid: tuple[RuleCell, ...]
    topics: tuple[str, ...]
    scored: bool
    asides: tuple[AsideRow, ...]
    sentences: tuple[str, ...]
    by_head: bool = False
    trained_on: str = ""
