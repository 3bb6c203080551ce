"""The best point of a steering sweep."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.statistics import Thresholds
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged


def best_point(
    swept: Judged, points: Sequence[Condition], rules: Thresholds, coherent_share: float
) -> tuple[int, float]:
    """Layer and coefficient of the highest rate among points that keep enough answers coherent.

    Where no point does, the most coherent one is taken.
    """

    def worth(point: Condition) -> float:
        misaligned, coherent = shares_of(swept, point, rules)
        return misaligned if coherent >= coherent_share else coherent - 1

    return max(points, key=worth).point


def shares_of(swept: Judged, condition: Condition, rules: Thresholds) -> tuple[float, float]:
    """Share of a condition's answers that are misaligned, and that are coherent."""
    verdicts = swept.arm(condition.name).verdicts
    misaligned, coherent = sum(map(rules.misaligned, verdicts)), sum(map(rules.coherent, verdicts))
    return misaligned / len(verdicts), coherent / len(verdicts)
