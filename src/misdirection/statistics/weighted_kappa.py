"""Cohen's weighted kappa of scores: agreement beyond chance where being near counts for something (Cohen 1968).

    kappa = 1 - mean d(a_i, b_i) / mean over all i, j of d(a_i, b_j),  d = |a - b| (linear) or (a - b)^2 (quadratic)

Distances are those of the scores, so no list of classes is needed: a score of 0 to 100 with decimals will do. On whole
numbers it equals scikit-learn's `cohen_kappa_score` with all classes named; without them that takes the distance
between the ranks of the classes that occur. On marks (0 and 1) both are Cohen's kappa.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError

Scores = NDArray[np.float64]
Weights = Literal["linear", "quadratic"]


def weighted_kappa(first: Scores, second: Scores, weights: Weights = "linear") -> float | None:
    """Weighted kappa of two judges' scores of the same things, over those that both scored.

    Args:
        first: Scores of the first judge, NaN where it gave none; (things,).
        second: Scores of the second, likewise.
        weights: "linear" or "quadratic".

    Returns:
        1 for equal scores, 0 for chance; None where nothing was scored by both, or both gave one and the same score
        throughout.

    Raises:
        MisdirectionError: The two differ in length, or there are no such weights.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise MisdirectionError(f"scores of shapes {first.shape} and {second.shape}", "give both the same things")
    if weights not in ("linear", "quadratic"):
        raise MisdirectionError(f"there are no weights '{weights}'", "linear or quadratic")
    both = ~(np.isnan(first) | np.isnan(second))
    a, b = first[both], second[both]
    if not len(a) or a.min() == a.max() == b.min() == b.max():
        return None
    if weights == "linear":
        observed, expected = float(np.abs(a - b).mean()), _mean_distance(a, b)
    else:
        observed = float(((a - b) ** 2).mean())
        expected = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    return 1 - observed / expected


def _mean_distance(a: Scores, b: Scores) -> float:
    """Mean of |a_i - b_j| over all pairs, without making them: by sorting."""
    ordered = np.sort(b)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    below = np.searchsorted(ordered, a)
    total = a * below - sums[below] + (sums[-1] - sums[below]) - a * (len(b) - below)
    return float(total.sum() / (len(a) * len(b)))
