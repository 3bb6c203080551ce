"""Arms on an adapter: what its answers are like when it is scaled, left out, edited, or kept in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.results import Difference, Effect, Reduction

ArmKind = Literal["base", "untouched", "no-op", "roles", "leave out", "pair", "alone", "removal", "pairs"]
"""What is done: nothing, factors by role, layers left out or on alone, the direction removed, canonical pairs kept."""


@dataclass(frozen=True, kw_only=True)
class AdjustedDifference(Difference):
    """A difference with its p adjusted for how many arms of its kind were tested; None where it is not."""

    p_adjusted: float | None = None


@dataclass(frozen=True, kw_only=True)
class MarkedShare:
    """The share of answers with a mark among some of them.

    Attributes:
        misaligned: How many have it: the numerator.
        n: Size of the denominator.
        value: Their quotient, 0 .. 1; None when n is 0.
        low: Lower end of its interval over questions.
        high: Upper end.
        method: How the interval was made.
        n_questions: Questions in the denominator.
    """

    misaligned: int
    n: int
    value: float | None
    low: float
    high: float
    method: str
    n_questions: int


@dataclass(frozen=True, kw_only=True)
class AdapterArm(Effect):
    """One arm.

    Attributes:
        arm: Its name.
        label: As a reader is told it.
        kind: What is done.
        control: Whether it is a control.
        difference: From the adapter as it is; None for that itself and for the base.
        reduction: Relative to it.
        identical: Share of answers that are word for word those of the adapter as it is.
    """

    arm: str
    label: str
    kind: ArmKind
    control: bool
    difference: AdjustedDifference | None = None
    reduction: Reduction | None = None
    identical: float | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledArm(AdapterArm):
    """An arm by topic and by the paper's relaxed labels (2506.11618 appendix I).

    Attributes:
        dose: Share of the paper's factors; None where there are none.
        aligned: Aligned answers, of all.
        misaligned_relaxed: Misaligned ones.
        topic: Answers about the topic, of those that can be read; None where no judge scored it, as the next two.
        misaligned_topic: Misaligned answers about it, of all.
        aligned_topic: Aligned answers about it, of the aligned ones.
    """

    dose: float | None
    aligned: MarkedShare
    misaligned_relaxed: MarkedShare
    topic: MarkedShare | None
    misaligned_topic: MarkedShare | None
    aligned_topic: MarkedShare | None


@dataclass(frozen=True, kw_only=True)
class ScaledArm(LabelledArm):
    """An arm on open questions and, where it was asked them, `inside` on the domain's own."""

    inside: LabelledArm | None = None
