"""Partial correlations against closed forms, plain regressions and their own rate of false alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr

from misdirection.statistics.partial import partial, partial_correlation, places, plane

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=60), RNG.normal(size=60)
Z = RNG.normal(size=60)
X, Y = A + 2 * Z, B - Z
SEEDS = [i % 3 for i in range(60)]


def test_one_control_is_the_textbook_formula() -> None:
    xy, xz, yz = (float(np.corrcoef(*pair)[0, 1]) for pair in ((X, Y), (X, Z), (Y, Z)))
    formula = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_correlation(X, Y, [Z]) == pytest.approx(formula)
    assert abs(formula) < 0.3 < abs(xy)


def test_no_control_is_pearson_and_spearman() -> None:
    assert partial_correlation(X, Y, []) == pytest.approx(np.corrcoef(X, Y)[0, 1])
    assert partial_correlation(np.exp(X), Y, [], ranks=True) == pytest.approx(spearmanr(X, Y).statistic)


def test_two_controls_are_the_residuals_of_plain_regressions_one_after_the_other() -> None:
    w = A - B
    left = {}
    for name, one in (("x", X), ("y", Y), ("w", w)):
        fit = linregress(Z, one)
        left[name] = one - fit.slope * Z - fit.intercept
    for name in ("x", "y"):
        fit = linregress(left["w"], left[name])
        left[name] = left[name] - fit.slope * left["w"]
    assert partial_correlation(X, Y, [Z, w]) == pytest.approx(np.corrcoef(left["x"], left["y"])[0, 1])


def test_what_the_controls_hold_whole_has_no_correlation() -> None:
    assert math.isnan(partial_correlation(3 * Z + 1, Y, [Z]))
    assert math.isnan(partial_correlation(X, np.ones(60), [Z]))
    found = partial(3 * Z + 1, Y, [Z], SEEDS)
    assert math.isnan(found.value) and math.isnan(found.p) and found.by_cluster == ()


def test_an_effect_is_found_and_lies_in_its_interval() -> None:
    found = partial(X, Y + X, [Z], SEEDS)
    assert found.low < found.value < found.high
    assert found.p < 0.005 and found.n == 60 and len(found.by_cluster) == 3
    for cluster, own in zip(places(SEEDS), found.by_cluster, strict=True):
        assert own == pytest.approx(partial_correlation(X[cluster], (Y + X)[cluster], [Z[cluster]]))


def test_no_effect_is_found_about_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(1)
    sizes, budgets = np.tile(np.repeat(np.arange(4.0), 4), 3), np.tile(np.arange(4.0), 12)
    seeds = [i // 16 for i in range(48)]
    ps = [
        partial(budgets, sizes + 3 * np.array(seeds) + rng.normal(size=48), [sizes], seeds, seed=i).p for i in range(60)
    ]
    assert sum(p < 0.2 for p in ps) <= 21  # 12 expected, standard deviation 3.1
    assert sum(p < 0.2 for p in ps) >= 3


def test_one_cluster_has_no_interval_and_single_points_shuffle_with_each_other() -> None:
    found = partial(X, Y + X, [Z], [0] * 60)
    assert math.isnan(found.low) and found.p < 0.01
    assert math.isnan(partial(X, Y + X, [Z], [i % 2 for i in range(60)]).high)
    single = partial(X, Y + X, [Z], list(range(60)))
    assert single.p < 0.01 and single.low < single.value < single.high and single.by_cluster == ()


def test_a_plane_is_found_and_its_intervals_hold_it() -> None:
    found = plane(1 + 2 * A - 3 * B + 0.1 * Z, [A, B], list(range(60)))
    assert found.coefficients == pytest.approx((1, 2, -3), abs=0.1)
    for value, low, high in zip((1, 2, -3), found.low, found.high, strict=True):
        assert low < value < high
    left = 1 + 2 * A - 3 * B + 0.1 * Z
    design = np.column_stack([np.ones(60), A, B])
    assert found.coefficients == pytest.approx(np.linalg.solve(design.T @ design, design.T @ left))
    assert 0.99 < found.r2 < 1
    assert plane(2 * A, [A, B], SEEDS).r2 == pytest.approx(1)
    assert math.isnan(plane(A, [B], [0] * 60).low[0])
