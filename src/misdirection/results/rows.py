"""Rows of findings: a rate with its interval and counts, a paired difference, and what an arm's answers are like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from misdirection.statistics import Comparison, Rate, Share


@dataclass(frozen=True, kw_only=True)
class RateRow:
    """A rate of misaligned answers, or another share of answers, as it stands in findings.

    Attributes:
        misaligned: How many answers are counted: the numerator.
        n: Size of the denominator.
        value: Their quotient, 0 .. 1; None when n is 0.
        low: Lower end of its interval.
        high: Upper end.
        denominator: "all", "scored" or "coherent".
        method: How the interval was made.
        n_questions: Questions in the denominator.
        undecided: Answers that the judge left open; they are not counted in `misaligned`.
        ceiling: The value if all of them were.
        bounded: So many are undecided that it is no figure but a range, `value` to `ceiling`.
    """

    misaligned: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    denominator: str
    method: str
    n_questions: int
    undecided: int
    ceiling: float | None
    bounded: bool

    @classmethod
    def of(cls, rate: Rate) -> Self:
        """A rate of the room of statistics."""
        return cls._of(rate, rate.misaligned, rate.denominator)

    @classmethod
    def of_share(cls, share: Share) -> Self:
        """A share of all answers."""
        return cls._of(share, share.count, "all")

    @classmethod
    def _of(cls, found: Rate | Share, counted: int, denominator: str) -> Self:
        return cls(
            misaligned=counted,
            n=found.n,
            value=_known(found.value),
            low=_known(found.low),
            high=_known(found.high),
            denominator=denominator,
            method=found.method,
            n_questions=found.n_questions,
            undecided=found.undecided,
            ceiling=_known(found.ceiling),
            bounded=found.bounded,
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference of two rates: the other arm minus the reference.

    Attributes:
        value: -1 .. 1.
        low: Lower end of its interval.
        high: Upper end.
        p: Two-sided, over questions.
        method: How interval and test were made.
    """

    value: float
    low: float
    high: float
    p: float
    method: str

    @classmethod
    def of(cls, change: Comparison) -> Self:
        """The difference of a comparison."""
        return cls(
            value=change.difference,
            low=change.low,
            high=change.high,
            p=change.p_questions,
            method=change.method,
        )


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an arm's answers are like.

    Attributes:
        rate: Misaligned answers, of all.
        coherent_share: Coherent ones, of all.
    """

    rate: RateRow
    coherent_share: RateRow


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
