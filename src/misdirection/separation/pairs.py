"""Whether a fine-tune on one concept spills over to those that lie close to it, by a permutation of concepts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from misdirection.separation.closeness import Numbers
from misdirection.statistics.correlations import EXACT_UP_TO

DRAWS = 5000


@dataclass(frozen=True)
class PairTest:
    """A test over pairs of a trained concept and another one.

    Attributes:
        rho: Mean over fine-tunes of Spearman's correlation of closeness and spill; NaN where neither varies.
        p: Two-sided, under permutations of the concepts.
        pairs: How many there are.
    """

    rho: float
    p: float
    pairs: int


def pair_test(closeness: Numbers, spill: Numbers, trained: Sequence[int], *, seed: int = 0) -> PairTest:
    """The quadratic assignment test (Hubert and Schultz 1976) of closeness against spill.

    Pairs that share a concept are not independent, so that concepts are permuted and not pairs: rows and columns of
    the closeness together, c'[i, j] = c[pi(i), pi(j)]. Every permutation is tried up to seven concepts.

    Args:
        closeness: Shape (concepts, concepts), symmetric.
        spill: Shape (fine-tunes, concepts), the change of each concept; NaN where it was not measured.
        trained: Place of the concept that each fine-tune was trained on, which is left out of its row.
        seed: Of the permutations that are drawn where there are more concepts.
    """
    kept = [
        np.array([j for j in range(spill.shape[1]) if j != own and not math.isnan(row[j])], dtype=np.int_)
        for own, row in zip(trained, spill, strict=True)
    ]
    pairs = sum(map(len, kept))
    orders = np.vstack([np.arange(len(closeness)), _orders(len(closeness), seed)])
    found = np.vstack([
        _spearman(closeness[orders[:, own, None], orders[:, places]], row[places])
        for own, places, row in zip(trained, kept, spill, strict=True)
        if len(places) > 2
    ] or [np.full(len(orders), math.nan)])  # fmt: skip
    known = ~np.isnan(found)
    mean = np.where(known.any(0), np.where(known, found, 0.0).sum(0) / np.maximum(known.sum(0), 1), math.nan)
    rho, null = float(mean[0]), mean[1:][~np.isnan(mean[1:])]
    if math.isnan(rho):
        return PairTest(rho, math.nan, pairs)
    hits = int((np.abs(null) >= abs(rho) - 1e-12).sum())
    exact = len(closeness) <= EXACT_UP_TO
    return PairTest(rho, hits / len(null) if exact else (hits + 1) / (len(null) + 1), pairs)


def _spearman(rows: Numbers, values: Numbers) -> Numbers:
    """Spearman's correlation of every row with the values, shape (rows,); NaN where one does not vary."""
    from scipy.stats import rankdata

    a, b = (np.asarray(rankdata(side, axis=-1), dtype=np.float64) for side in (rows, values))
    a, b = a - a.mean(-1, keepdims=True), b - b.mean()
    spread = np.sqrt((a**2).sum(-1) * (b**2).sum())
    return np.where(spread > 0, (a @ b) / np.where(spread > 0, spread, 1.0), math.nan)


def _orders(count: int, seed: int) -> NDArray[np.int_]:
    """All orders of the concepts, or some of them, shape (orders, concepts)."""
    if count <= EXACT_UP_TO:
        return np.array(list(permutations(range(count))), dtype=np.int_)
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(count) for _ in range(DRAWS)])
