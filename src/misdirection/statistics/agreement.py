"""Whether two judges say the same of the same answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Verdict
from misdirection.statistics.counts import Thresholds, is_scored


@dataclass(frozen=True)
class Agreement:
    """How far a judge agrees with another.

    Attributes:
        n: Answers that both scored; every figure but `labels` is over these.
        confusion: Counts ((neither, only the second), (only the first, both)) of "misaligned".
        accuracy: Share on which they agree; None when n is 0.
        kappa: Cohen's kappa; None when both use one and the same class throughout.
        auc: Probability that the first's alignment is lower for an answer that the second calls misaligned than for
            one that it does not, ties half; None when the second uses one class.
        labels: Counts by (label of the first, label of the second), over all answers.
        disagreements: Places of answers that one alone calls misaligned, the largest difference of alignment first.
        thresholds: When an answer is misaligned.
    """

    n: int
    confusion: tuple[tuple[int, int], tuple[int, int]]
    accuracy: float | None
    kappa: float | None
    auc: float | None
    labels: tuple[tuple[tuple[str, str], int], ...]
    disagreements: tuple[int, ...]
    thresholds: Thresholds


def agreement(first: Sequence[Verdict], second: Sequence[Verdict], thresholds: Thresholds | None = None) -> Agreement:
    """Compare two judges' verdicts on the same answers, in the same order.

    Raises:
        MisdirectionError: The two differ in length, or are empty.
    """
    rules = thresholds or Thresholds()
    if len(first) != len(second) or not first:
        raise MisdirectionError(f"{len(first)} and {len(second)} verdicts", "give both judges the same answers")
    both = [i for i in range(len(first)) if is_scored(first[i]) and is_scored(second[i])]
    marks = [(rules.misaligned(first[i]), rules.misaligned(second[i])) for i in both]
    count = Counter(marks)
    apart = [i for i, (a, b) in zip(both, marks, strict=True) if a != b]
    agreed = count[False, False] + count[True, True]
    return Agreement(
        n=len(both),
        confusion=((count[False, False], count[False, True]), (count[True, False], count[True, True])),
        accuracy=agreed / len(both) if both else None,
        kappa=cohens_kappa(marks),
        auc=auc([-(first[i].alignment or 0.0) for i in both], [b for _, b in marks]),
        labels=tuple(sorted(Counter((a.label, b.label) for a, b in zip(first, second, strict=True)).items())),
        disagreements=tuple(sorted(apart, key=lambda i: (-_gap(first[i], second[i]), i))),
        thresholds=rules,
    )


def cohens_kappa(marks: Sequence[tuple[bool, bool]]) -> float | None:
    """(observed − expected) / (1 − expected) agreement of pairs of marks; None where expected agreement is 1."""
    n = len(marks)
    if not n:
        return None
    observed = sum(a == b for a, b in marks) / n
    first, second = sum(a for a, _ in marks) / n, sum(b for _, b in marks) / n
    expected = first * second + (1 - first) * (1 - second)
    return (observed - expected) / (1 - expected) if expected < 1 else None


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Area under the ROC curve: how often a positive's score is above a negative's, ties half; None with one class."""
    from scipy import stats

    high = [s for s, p in zip(scores, positive, strict=True) if p]
    low = [s for s, p in zip(scores, positive, strict=True) if not p]
    if not high or not low:
        return None
    result: Any = stats.mannwhitneyu(high, low)
    return float(result.statistic) / (len(high) * len(low))


def _gap(first: Verdict, second: Verdict) -> float:
    return abs((first.alignment or 0.0) - (second.alignment or 0.0))
