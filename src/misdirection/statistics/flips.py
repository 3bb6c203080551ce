"""The test over questions and the interval that belongs to it: one construction, so that they never disagree.

Under the null hypothesis two arms are exchangeable on every question, so that swapping them question by question (the
sign of the question's contribution to the difference) gives differences that were as likely as the one seen. p is the
share of swaps whose difference is as large in size; the interval holds every difference that the test would not
reject. For a set A of swapped questions and its complement, a difference d below the estimate is counted where

    sum_A(e) - d sum_A(w) <= 0   or   sum_rest(e) - d sum_rest(w) <= 0,

e being the questions' contributions and w their weights, so that the interval's ends are order statistics of the
weighted means over subsets (Tukey's and Hartigan's typical values: J. A. Hartigan 1969, JASA 64:1303).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT_QUESTIONS = 20
"""Up to this many questions every one of the 2^G sign flips is enumerated."""

FLIPS = 100_000
"""Random sign flips above that."""

LEAST_QUESTIONS = 6
"""The fewest questions of which a sign-flip test can give p < 0.05: two of 2^6 flips are 0.031, of 2^5 0.062."""

_TIE = 1e-12


@dataclass(frozen=True)
class Flipped:
    """A sign-flip test and its inversion.

    Attributes:
        p: Two-sided.
        low: Lower end of the interval; minus infinity where so few questions bound nothing at this level.
        high: Upper end; infinity likewise.
        method: In words.
    """

    p: float
    low: float
    high: float
    method: str


def flip(contributions: Sequence[float], weights: Sequence[float], level: float = 0.95, seed: int = 0) -> Flipped:
    """Test that contributions sum to 0, and the interval of their sum over that of the weights.

    Exact over all flips of at most 20 questions, else over 100,000 random ones with (1 + count) / (1 + flips).
    p < 1 - level exactly where the interval does not hold 0.

    Args:
        contributions: Of each question, in any unit.
        weights: Of each question, 0 or more.
        level: Of the interval.
        seed: Of random flips.
    """
    import numpy as np

    e, w = np.asarray(contributions, float), np.asarray(weights, float)
    inside, flips, method = _sums(e, w, seed)
    # Sums in another order differ in the last digits, and ties must count.
    tie = _TIE * float(np.abs(e).sum())
    inside[np.abs(inside) <= tie] = 0.0
    part, of = inside
    rest, rest_of = float(e.sum()) - part, float(w.sum()) - of
    rest[np.abs(rest) <= tie] = 0.0
    first, second = _quotient(part, of), _quotient(rest, rest_of)
    low, high = np.minimum(first[0], second[0]), np.maximum(first[1], second[1])
    value = float(e.sum())
    count = int((low <= 0).sum()) if value > tie else int((high >= 0).sum()) if value < -tie else len(low)
    # A p that equals 1 - level is not below it, whatever the last digit of the product.
    place = math.ceil((1 - level) * flips - 1e-9) - 1
    ends = (-math.inf, math.inf)
    if place > 0:
        ends = float(np.partition(low, place - 1)[place - 1]), float(-np.partition(-high, place - 1)[place - 1])
    return Flipped((1 + count) / flips, *ends, method)


def _quotient(sums: NDArray[Any], of: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Subset means for the lower and for the upper end; a subset without weight bounds what its sum's sign says."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        found = sums / of
    empty = of <= _TIE
    low = np.where(empty, np.where(sums <= 0, -np.inf, np.inf), found)
    return low, np.where(empty, np.where(sums >= 0, np.inf, -np.inf), found)


def _sums(e: NDArray[Any], w: NDArray[Any], seed: int) -> tuple[NDArray[Any], int, str]:
    """Sums of e and w over proper subsets, (2, subsets), one of each pair of complements; and how many flips there are.

    The identity is no subset, and counts for itself.
    """
    import numpy as np

    size = len(e)
    if size <= EXACT_QUESTIONS:
        # The last question is never in the subset: each pair of complements once.
        sums = np.zeros((2, 1))
        for one in range(size - 1):
            sums = np.concatenate([sums, sums + np.array([[e[one]], [w[one]]])], axis=1)
        return sums[:, 1:], max(1, 2 ** (size - 1)), "exact sign-flip test over questions"
    chosen = _subsets(size, seed)
    pair = np.stack([e, w], axis=1)
    sums = np.concatenate([chosen[i : i + 10_000] @ pair for i in range(0, FLIPS, 10_000)]).T
    return sums, FLIPS + 1, f"sign-flip test over questions ({FLIPS} random flips)"


@lru_cache(2)
def _subsets(size: int, seed: int) -> NDArray[Any]:
    # The same for every pair of arms of a run.
    import numpy as np

    found = np.random.default_rng(seed).integers(0, 2, size=(FLIPS, size), dtype=np.int8)
    found.flags.writeable = False
    return found
