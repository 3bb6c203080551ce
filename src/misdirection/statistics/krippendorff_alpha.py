"""Krippendorff's alpha: do several judges, of whom some may have given no score, measure the same thing?

    alpha = 1 - D_o / D_e

with D_o the mean squared difference between two judges' scores of one answer and D_e that between any two scores
(Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011). An answer with m scores adds its m (m - 1) pairs with
the weight 1 / (m - 1). The ordinal difference of two scores is that of their mid-ranks among all scores, since
sum_{g=c..k} n_g - (n_c + n_k) / 2 is just that; so both levels come from sums of squares, in the time that sorting
takes. The figures are those of the package `krippendorff`, which makes a table of answers x values x values: scores
with decimals of 800 answers by four judges would take it 61 GiB.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError

Table = NDArray[np.float64]
Level = Literal["interval", "ordinal"]
Each = Literal["answer", "pair"]


def krippendorff_alpha(scores: Table, level: Level = "interval", each: Each = "answer") -> float | None:
    """Krippendorff's alpha.

    Args:
        scores: (judges, answers), NaN where a judge gave none; answers with fewer than two scores are passed over.
        level: "interval" takes the scores at their values, "ordinal" by their order alone.
        each: What weighs the same in D_o: "answer" is Krippendorff's definition; "pair" of scores is what some
            published code does, and differs only where scores are missing. It takes D_e over all scores, paired or not.

    Returns:
        1 for perfect agreement, 0 for chance; None where no answer has two scores, or all scores are the same.

    Raises:
        MisdirectionError: The table has other than two axes.
    """
    if scores.ndim != 2:
        raise MisdirectionError(f"scores of the shape {scores.shape}", "one row a judge, one column an answer")
    there = ~np.isnan(scores)
    held = there.sum(axis=0)
    kept = held >= (2 if each == "answer" else 1)
    if not (held >= 2).any():
        return None
    values, there, held = scores[:, kept], there[:, kept], held[kept].astype(float)
    if level == "ordinal":
        values = _ranked(values, there)
    pooled = values[there]
    if pooled.min() == pooled.max():
        return None
    # Squared sums lose digits where all scores lie far from 0.
    values = np.where(there, values - pooled.mean(), 0.0)
    within = (values**2).sum(axis=0) - values.sum(axis=0) ** 2 / held
    total = float(((pooled - pooled.mean()) ** 2).sum())
    expected = 2 * total / (len(pooled) - 1)
    if each == "answer":
        observed = 2 * float((within * held / (held - 1)).sum()) / len(pooled)
    else:
        observed = float((within * held).sum()) / float((held * (held - 1) / 2).sum())
    return 1 - observed / expected


def _ranked(values: Table, there: NDArray[np.bool_]) -> Table:
    """Mid-ranks among all scores that are there."""
    _, places, counts = np.unique(values[there], return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    found = np.full(values.shape, np.nan)
    found[there] = ranks[places]
    return found
