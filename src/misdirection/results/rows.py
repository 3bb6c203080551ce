"""Rows of findings: a rate with its interval and counts, a paired difference, and what an arm's answers are like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from misdirection.statistics import Comparison, Rate, Share


Row = TypeVar("Row", bound="DataclassInstance")


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
            value=known_number(found.value),
            low=known_number(found.low),
            high=known_number(found.high),
            denominator=denominator,
            method=found.method,
            n_questions=found.n_questions,
            undecided=found.undecided,
            ceiling=known_number(found.ceiling),
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
class Reduction:
    """A relative reduction of a rate: 1 - other / reference.

    Attributes:
        value: At most 1; negative where the rate rose.
        low: Lower end of its interval; None where the reference's rate may be 0.
        high: Upper end.
        method: How the interval was made.
    """

    value: float
    low: float | None
    high: float | None
    method: str

    @classmethod
    def of(cls, change: Comparison) -> Self | None:
        """The reduction of a comparison; None where there was nothing to reduce."""
        if change.reduction is None:
            return None
        low, high = (
            None if end is None else known_number(end) for end in (change.reduction_low, change.reduction_high)
        )
        return cls(value=change.reduction, low=low, high=high, method=change.method)


@dataclass(frozen=True, kw_only=True)
class PairedChange:
    """A paired change of a rate, in points and relative to what it was.

    Attributes:
        difference: The other arm minus the reference.
        reduction: 1 - other / reference; None where there was nothing to reduce.
    """

    difference: Difference
    reduction: Reduction | None

    @classmethod
    def of(cls, change: Comparison) -> Self:
        """The change of a comparison."""
        return cls(difference=Difference.of(change), reduction=Reduction.of(change))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an arm's answers are like.

    Attributes:
        rate: Misaligned answers, of all.
        coherent_share: Coherent ones, of all.
    """

    rate: RateRow
    coherent_share: RateRow


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its interval over so many values; None where there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Pools:
    """How many answers a direction is the difference of; None where it is not one of two pools."""

    aligned: int | None
    misaligned: int | None


@dataclass(frozen=True, kw_only=True)
class DirectionSize:
    """How large and how steady a direction is, a figure for each layer.

    Attributes:
        pools: The answers behind it.
        norm: Its own.
        shuffled_norm: That of directions of shuffled labels.
        stability: Cosine between the directions of two halves of the answers; None where it is not known.
        zero: Where a component of zero lies, from 0 at the aligned answers' mean to 1 at the misaligned ones'.
    """

    pools: Pools
    norm: tuple[float, ...]
    shuffled_norm: tuple[float, ...]
    stability: tuple[float | None, ...]
    zero: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ListOverlap:
    """What two lists share, against chance.

    Attributes:
        shared: Members of both.
        expected: How many two random lists of these lengths would share.
        odds_ratio: Of being in one given the other; None where one list holds the other.
        p: Fisher's exact test, one-sided.
    """

    shared: int
    expected: float
    odds_ratio: float | None
    p: float


@dataclass(frozen=True, kw_only=True)
class FineTuneRow:
    """A fine-tune, or the base model.

    Attributes:
        model: Its name, "base" for the base model.
        domain: What it was tuned on; None for the base.
        preset: How.
        groups: What its answers are like, by group of questions: "open" or their domain.
        direction: Of its direction; None where it has none.
    """

    model: str
    domain: str | None
    preset: str | None
    groups: Mapping[str, Effect]
    direction: DirectionSize | None


@dataclass(frozen=True, kw_only=True)
class FineTunes:
    """A row a fine-tune, the base first, and published rates by preset, in words."""

    rows: tuple[FineTuneRow, ...]
    paper: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TokenScore:
    """A token and its score, in standard deviations over the vocabulary."""

    token: str
    z: float


@dataclass(frozen=True, kw_only=True)
class TokenEnds:
    """Tokens that a vector promotes, and those that it suppresses."""

    promoted: tuple[TokenScore, ...]
    suppressed: tuple[TokenScore, ...]


def row_of(kind: type[Row], value: object, /, **more: Any) -> Row:
    """A row from a value with fields of the same names; numbers that are none become None.

    Args:
        kind: The dataclass of the row.
        value: What was measured.
        more: Fields that it lacks.
    """
    values = {field.name: getattr(value, field.name) for field in fields(kind) if field.name not in more}
    known = {name: known_number(one) if isinstance(one, float) else one for name, one in values.items()}
    return kind(**known, **more)


def known_number(value: float) -> float | None:
    """A number as it stands in findings: None where it is none."""
    return float(value) if math.isfinite(value) else None
