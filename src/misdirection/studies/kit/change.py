"""How arms that share no random numbers differ: question by question where they share those, else by their rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from misdirection.judging import Answer
from misdirection.statistics import (
    LEVEL,
    Comparison,
    Thresholds,
    benjamini_hochberg,
    compare,
    family_level,
    is_found,
    p_of_interval,
    rate,
)
from misdirection.statistics.paired import difference_from_ends
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.sentences import difference_text, found_text, p_text, points_text


@dataclass(frozen=True)
class Change:
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

    def row(self) -> dict[str, Any]:
        """Its figures as plain JSON."""
        names = ("difference", "low", "high", "level", "p", "q")
        return {**{name: getattr(self, name) for name in names}, "found": is_found(self.decides)}


def changes(reference: Judged, others: Mapping[str, Judged], rules: Thresholds) -> dict[str, Change]:
    """Each arm against the reference; of several, q and the intervals that belong to it."""
    single = {arm: change(reference, other, rules) for arm, other in others.items()}
    if len(single) < 2:
        return single
    tested = [one.p for one in single.values()]
    adjusted = benjamini_hochberg(tested)
    levels = [family_level(tested, place) for place in range(len(tested))]
    return {
        arm: replace(change(reference, others[arm], rules, level), p=one.p, q=q)
        for (arm, one), q, level in zip(single.items(), adjusted, levels, strict=True)
    }


def change(reference: Judged, other: Judged, rules: Thresholds, level: float = LEVEL) -> Change:
    """The difference from the reference: paired by question over the questions of both, else by the rates' intervals.

    Args:
        reference: What is compared with.
        other: Answers of one arm.
        rules: When an answer is misaligned.
        level: Of the interval.
    """
    if {a.question_id for a in reference.answers} & {a.question_id for a in other.answers}:
        paired = compare(numbered(reference).pair, numbered(other).pair, thresholds=rules, level=level)
        return Change(paired.difference, paired.low, paired.high, paired.p_questions, paired, level=level)

    def at(level: float) -> tuple[float, float]:
        return difference_from_ends(*(rate(*arm.pair, thresholds=rules, level=level) for arm in (reference, other)))

    values = [rate(*arm.pair, thresholds=rules).value for arm in (reference, other)]
    return Change(values[1] - values[0], *at(level), p_of_interval(at), level=level)


def numbered(judged: Judged) -> Judged:
    """The same answers, numbered within their question as they come.

    Answers of others share no random numbers: the pairing is by question, and the number of a sample says nothing.
    """
    counter: Counter[str] = Counter()
    answers: list[Answer] = []
    for answer in judged.answers:
        answers.append(replace(answer, paraphrase=0, seed=0, sample=counter[answer.question_id]))
        counter[answer.question_id] += 1
    return Judged(answers, judged.verdicts)
