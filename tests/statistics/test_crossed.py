"""Means over questions and seeds: closed forms, and how often the interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from misdirection.errors import MisdirectionError
from misdirection.statistics.crossed import crossed_mean, crossed_reduction


def test_one_seed_is_students_interval_over_questions() -> None:
    values = np.array([0.1, 0.4, 0.0, 0.3, 0.2])
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    for table in (values[:, None], values[None, :]):
        found = crossed_mean(table)
        assert (found.value, found.low, found.high) == pytest.approx((0.2, low, high))
    assert math.isnan(crossed_mean(np.array([[0.5]])).low)


def test_the_variance_is_that_of_the_two_way_table() -> None:
    cells = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6)[:, None] + 2 * np.arange(4)[None, :]
    grand = cells.mean()
    ms_q = 4 * sum((row.mean() - grand) ** 2 for row in cells) / 5
    ms_s = 6 * sum((column.mean() - grand) ** 2 for column in cells.T) / 3
    rest = sum(
        (cells[q, s] - cells[q].mean() - cells[:, s].mean() + grand) ** 2 for q in range(6) for s in range(4)
    ) / 15  # fmt: skip
    total = ms_q + ms_s - rest
    freedom = total**2 / (ms_q**2 / 5 + ms_s**2 / 3 + rest**2 / 15)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(total / 24)
    found = crossed_mean(cells)
    assert (found.low, found.high) == pytest.approx((grand - half, grand + half))


@pytest.mark.parametrize(("question", "seed", "rest"), [(1.0, 0.0, 0.5), (0.3, 1.0, 0.3), (1.0, 1.0, 1.0), (0, 0, 1.0)])
def test_the_interval_holds_the_truth_as_often_as_it_says(question: float, seed: float, rest: float) -> None:
    random, held, trials = np.random.default_rng(1), 0, 600
    for _ in range(trials):
        cells = 2.0 + question * random.normal(size=(28, 1)) + seed * random.normal(size=(1, 3))
        found = crossed_mean(cells + rest * random.normal(size=(28, 3)))
        held += found.low <= 2.0 <= found.high
    assert held / trials > 0.9


def test_a_reduction_is_paired_and_none_of_nothing() -> None:
    reference = np.random.default_rng(2).uniform(0.1, 0.5, size=(20, 3))
    half = crossed_reduction(reference, reference / 2)
    assert half is not None and (half.value, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))
    same = crossed_reduction(reference, np.random.default_rng(3).permutation(reference))
    assert same is not None and same.low < 0 < same.high and same.value == pytest.approx(0)
    assert crossed_reduction(np.zeros((4, 2)), np.ones((4, 2))) is None
    with pytest.raises(MisdirectionError, match="match the cells"):
        crossed_reduction(np.ones((4, 2)), np.ones((2, 4)))
    with pytest.raises(MisdirectionError):
        crossed_mean(np.zeros((0, 3)))
