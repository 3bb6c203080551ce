"""Partial correlations over clusters, and a plane fitted by least squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from misdirection.statistics.correlations import RESAMPLES, mid_ranks, pearson
from misdirection.statistics.intervals import expanded_percentiles

Numbers = NDArray[np.float64]

SHUFFLES = 2000
FEWEST = 3
"""Clusters that an interval needs: two can be drawn in three ways."""

FLAT = 1e-9
"""Share of a variable's spread below which the controls leave nothing of it."""


@dataclass(frozen=True)
class Partial:
    """A partial correlation.

    Attributes:
        value: NaN where the controls leave nothing of one of the two.
        low: Lower end of the 95 % interval of a bootstrap over clusters; NaN with one or two clusters.
        high: Upper end.
        p: Two-sided, of shuffles within clusters.
        n: Points.
        by_cluster: The same correlation within each cluster, those left out where there is none.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    by_cluster: tuple[float, ...]


@dataclass(frozen=True)
class Plane:
    """y = intercept + sum of slopes x columns, by ordinary least squares.

    Attributes:
        coefficients: The intercept first.
        low: Lower ends of the 95 % intervals of a bootstrap over clusters; NaN with one or two clusters.
        high: Upper ends.
        r2: Share of the variance of y that it explains; NaN where y does not vary.
    """

    coefficients: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    r2: float


def partial_correlation(x: Numbers, y: Numbers, controls: Sequence[Numbers], *, ranks: bool = False) -> float:
    """Pearson's correlation of what is left of x and y behind a regression on the controls.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        controls: Columns of shape (n,); none gives the plain correlation.
        ranks: Take mid-ranks of all first: Spearman's.
    """
    if ranks:
        x, y, controls = mid_ranks(x), mid_ranks(y), [mid_ranks(one) for one in controls]
    design = _design(controls, len(y))
    a, b = _left(x, design), _left(y, design)
    found = None if _flat(a, x) or _flat(b, y) else pearson(a, b)
    return math.nan if found is None else found


def partial(
    x: Numbers,
    y: Numbers,
    controls: Sequence[Numbers],
    clusters: Sequence[Hashable],
    *,
    ranks: bool = False,
    seed: int = 0,
) -> Partial:
    """A partial correlation with its interval over clusters and its p.

    The p is of Freedman and Lane's permutation (1983): what is left of y behind the controls is shuffled within each
    cluster and put back on what they predict; so no cluster's own level can make a correlation. Clusters of one point
    shuffle with each other.

    Args:
        x: What y may go with, shape (n,).
        y: Shape (n,).
        controls: What is held fixed, columns of shape (n,).
        clusters: What each point belongs to, as the seed of its training.
        ranks: As of `partial_correlation`.
        seed: Of draws and shuffles.
    """
    if ranks:
        x, y, controls = mid_ranks(x), mid_ranks(y), [mid_ranks(one) for one in controls]
    value = partial_correlation(x, y, controls)
    groups = places(clusters)
    own = [partial_correlation(x[at], y[at], [one[at] for one in controls]) for at in groups]
    low, high = _over(groups, lambda at: np.array([partial_correlation(x[at], y[at], [c[at] for c in controls])]), seed)
    return Partial(
        value, float(low[0]), float(high[0]), _shuffled(x, y, controls, groups, value, seed), len(y),
        tuple(one for one in own if not math.isnan(one)),
    )  # fmt: skip


def plane(y: Numbers, columns: Sequence[Numbers], clusters: Sequence[Hashable], *, seed: int = 0) -> Plane:
    """Fit a plane, with intervals of a bootstrap over clusters.

    Args:
        y: Shape (n,).
        columns: Shape (n,) each.
        clusters: What each point belongs to.
        seed: Of the draws.
    """
    design = _design(columns, len(y))

    def fit(at: NDArray[np.intp]) -> Numbers:
        return np.asarray(np.linalg.lstsq(design[at], y[at], rcond=None)[0], np.float64)

    found = fit(np.arange(len(y)))
    low, high = _over(places(clusters), fit, seed)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - design @ found) ** 2).sum()) / spread if spread else math.nan
    return Plane(tuple(map(float, found)), tuple(map(float, low)), tuple(map(float, high)), r2)


def places(clusters: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """Places of the points of each cluster."""
    held: dict[Hashable, list[int]] = {}
    for at, name in enumerate(clusters):
        held.setdefault(name, []).append(at)
    return [np.array(found, dtype=np.intp) for found in held.values()]


def _design(columns: Sequence[Numbers], n: int) -> Numbers:
    return np.column_stack([np.ones(n), *columns])


def _left(y: Numbers, design: Numbers) -> Numbers:
    return np.asarray(y - design @ np.linalg.lstsq(design, y, rcond=None)[0], np.float64)


def _flat(left: Numbers, whole: Numbers) -> bool:
    return bool(np.linalg.norm(left) <= FLAT * max(1.0, float(np.linalg.norm(whole))))


def _shuffled(
    x: Numbers, y: Numbers, controls: Sequence[Numbers], groups: list[NDArray[np.intp]], value: float, seed: int
) -> float:
    if math.isnan(value):
        return math.nan
    design = _design(controls, len(y))
    left = _left(y, design)
    generator = np.random.default_rng(seed)
    if all(len(group) == 1 for group in groups):
        groups = [np.arange(len(y))]
    moved = np.tile(left, (SHUFFLES, 1))
    for group in groups:
        moved[:, group] = generator.permuted(moved[:, group], axis=1)
    # What the controls predict falls out again, so that it need not be put back.
    basis = np.linalg.qr(design)[0]
    again = moved - moved @ basis @ basis.T
    a = _left(x, design)
    others = again @ a / np.maximum(np.linalg.norm(again, axis=1) * np.linalg.norm(a), 1e-300)
    return float((np.abs(others) >= abs(value) - 1e-12).sum() + 1) / (SHUFFLES + 1)


def _over(
    groups: list[NDArray[np.intp]], of: Callable[[NDArray[np.intp]], Numbers], seed: int
) -> tuple[Numbers, Numbers]:
    """Ends of the intervals of some figures over draws of whole clusters."""
    count = len(groups)
    size = len(of(np.concatenate(groups)))
    if count < FEWEST:
        return np.full(size, math.nan), np.full(size, math.nan)
    generator = np.random.default_rng(seed)
    draws = np.array([
        of(np.concatenate([groups[i] for i in generator.integers(0, count, count)])) for _ in range(RESAMPLES)
    ])  # fmt: skip
    ends = [
        (math.nan, math.nan) if np.isnan(column).all() else expanded_percentiles(column, ["cluster"] * count, 0.95)
        for column in draws.T
    ]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])
