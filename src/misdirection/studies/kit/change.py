"""How arms that share no random numbers differ: question by question where they share those, else by their rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from misdirection.statistics import (
    LEVEL,
    Comparison,
    Settings,
    Thresholds,
    benjamini_hochberg,
    family_level,
    is_found,
    p_of_interval,
)
from misdirection.statistics.matching import Matched, match
from misdirection.statistics.paired import compare_matched, difference_from_ends
from misdirection.statistics.rates import rate_of
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.sentences import difference_text, found_text, p_text, points_text

Key = TypeVar("Key")


@dataclass(frozen=True)
class RateChange:
    """How an arm differs from the base.

    Attributes:
        difference: Its rate minus the base's.
        low: Lower end of the interval.
        high: Upper end.
        p: Of the test that the interval belongs to.
        paired: The paired comparison; None where the arms share no question.
        q: p adjusted for all arms that are compared; None where there is one.
        level: Of the interval; with q that which belongs to it.
    """

    difference: float
    low: float
    high: float
    p: float
    paired: Comparison | None = None
    q: float | None = None
    level: float = LEVEL

    @property
    def decides(self) -> float:
        """What the verdict goes by: q where there is one, else p."""
        return self.p if self.q is None else self.q

    def text(self, names: str) -> str:
        """What is said of it; `names` are those of both arms."""
        if self.paired is not None and self.q is None:
            lost = sum(self.paired.unmatched)
            told = f" {lost} answers have no partner and stand out of it." if lost else ""
            return difference_text(self.paired, names, "paired by question") + told
        how = "unpaired (no question in common)" if self.paired is None else "paired by question"
        tests = p_text(self.p) if self.q is None else f"{p_text(self.p)}, {p_text(self.q, 'q')}"
        return (
            f"Difference {names}, {how}: {points_text(self.difference, self.low, self.high, self.level)}, {tests}: "
            f"{found_text(self.decides, 'p' if self.q is None else 'q')}."
        )

    def row(self) -> RateChangeRow:
        """Its figures, as --json has them."""
        return RateChangeRow(
            self.difference, self.low, self.high, self.level, self.p, self.q, is_found(self.decides),
            self.paired is not None,
        )  # fmt: skip


@dataclass(frozen=True)
class RateChangeRow:
    """The figures of a change: see `RateChange`; whether it is found, and whether by question."""

    difference: float
    low: float
    high: float
    level: float
    p: float
    q: float | None
    found: bool
    paired: bool


@dataclass(frozen=True)
class PairedArms:
    """An arm beside the reference, matched once for all rules and levels.

    Attributes:
        reference: What is compared with.
        other: Answers of one arm.
        matched: Their answers by question, numbered within it as they come; None where they share no question.
    """

    reference: Judged
    other: Judged
    matched: Matched | None

    def change(self, rules: Thresholds, level: float = LEVEL) -> RateChange:
        """The difference: paired by question over the questions of both, else by the rates' intervals.

        Args:
            rules: When an answer is misaligned.
            level: Of the interval.
        """
        if self.matched is not None:
            paired = compare_matched(self.matched, Settings(thresholds=rules, level=level))
            return RateChange(paired.difference, paired.low, paired.high, paired.p_questions, paired, level=level)
        arms = self.reference, self.other

        def at(level: float) -> tuple[float, float]:
            first, second = (rate_of(arm.columns, Settings(thresholds=rules, level=level)) for arm in arms)
            return difference_from_ends(first, second)

        first, second = (rate_of(arm.columns, Settings(thresholds=rules)).value for arm in arms)
        return RateChange(second - first, *at(level), p_of_interval(at), level=level)


def pair(reference: Judged, other: Judged) -> PairedArms:
    """Match an arm with the reference."""
    shared = {a.question_id for a in reference.answers} & {a.question_id for a in other.answers}
    return PairedArms(reference, other, match(reference.pair, other.pair, in_order=True) if shared else None)


def changes(reference: Judged, others: Mapping[str, Judged], rules: Thresholds) -> dict[str, RateChange]:
    """Each arm against the reference; of several, q and the intervals that belong to it."""
    return family({arm: pair(reference, other) for arm, other in others.items()}, rules)


def family(pairs: Mapping[Key, PairedArms], rules: Thresholds) -> dict[Key, RateChange]:
    """The change of each pair; of several, q over all of them and the intervals that belong to it.

    Benjamini and Hochberg's q; the level of an interval is that at which its own test is decided (`family_level`).
    """
    single = {key: one.change(rules) for key, one in pairs.items()}
    if len(single) < 2:
        return single
    tested = [one.p for one in single.values()]
    adjusted = benjamini_hochberg(tested)
    levels = [family_level(tested, place) for place in range(len(tested))]
    return {
        key: _at(pairs[key].change(rules, level), one, q)
        for (key, one), q, level in zip(single.items(), adjusted, levels, strict=True)
    }


def _at(wide: RateChange, single: RateChange, q: float) -> RateChange:
    """A change with the interval that belongs to q; its two rates keep their own, which are shown as 95 %."""
    paired = wide.paired
    if paired is not None and single.paired is not None:
        paired = replace(paired, reference=single.paired.reference, other=single.paired.other)
    return replace(wide, p=single.p, q=q, paired=paired)
