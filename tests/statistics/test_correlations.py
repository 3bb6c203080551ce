"""Correlations over prompts and their intervals, against plain loops, numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from misdirection.statistics.correlations import (
    mid_ranks,
    pearson,
    permutation_p,
    prompt_correlation,
    question_mean,
)

RANDOM = np.random.default_rng(3)


def points(prompts: int = 6, questions: int = 9) -> tuple[np.ndarray, np.ndarray, list[str], list[int]]:
    """Prompts that differ strongly, and a weak tie within each of them with the other sign."""
    level = np.repeat(np.linspace(0, 10, prompts), questions)
    inner = RANDOM.normal(size=prompts * questions)
    x = level + inner
    y = level - 0.5 * inner + RANDOM.normal(size=prompts * questions)
    names = [f"prompt {i}" for i in range(prompts) for _ in range(questions)]
    return x, y, names, list(range(questions)) * prompts


def test_overall_between_and_within_are_those_of_a_plain_loop():
    x, y, prompts, questions = points()
    means = {p: [np.mean([v for v, q in zip(values, prompts, strict=True) if q == p]) for values in (x, y)]
             for p in dict.fromkeys(prompts)}  # fmt: skip
    between = np.corrcoef(*np.array(list(means.values())).T)[0, 1]
    left = np.array([[a - means[p][0], b - means[p][1]] for a, b, p in zip(x, y, prompts, strict=True)])
    truth = {"overall": np.corrcoef(x, y)[0, 1], "between": between, "within": np.corrcoef(*left.T)[0, 1]}
    for how, value in truth.items():
        found = prompt_correlation(x, y, prompts, questions, how, resamples=200)  # pyright: ignore[reportArgumentType]
        assert found.value == pytest.approx(value)
        assert found.low <= found.value <= found.high
        assert found.n == (6 if how == "between" else len(x))
    assert truth["within"] < 0 < truth["overall"]


def test_points_without_a_number_are_left_out():
    x, y, prompts, questions = points()
    y[::5] = math.nan
    keep = ~np.isnan(y)
    found = prompt_correlation(x, y, prompts, questions, resamples=50)
    assert found.value == pytest.approx(np.corrcoef(x[keep], y[keep])[0, 1]) and found.n == keep.sum()


def test_nothing_to_correlate_is_no_number():
    flat = np.ones(8)
    found = prompt_correlation(np.arange(8.0), flat, ["p"] * 8, list(range(8)), resamples=20)
    assert math.isnan(found.value) and math.isnan(found.low)
    assert math.isnan(prompt_correlation(flat[:0], flat[:0], [], []).value)
    one = prompt_correlation(np.arange(8.0), np.arange(8.0), list("aabbccdd"), [1] * 8)
    assert one.value == pytest.approx(1) and math.isnan(one.low)  # one question has nothing to be drawn from


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    random, hits = np.random.default_rng(0), 0
    for trial in range(150):
        offsets = random.normal(size=12)
        values = np.repeat(offsets, 5) + 0.3 * random.normal(size=60)
        found = question_mean(values, np.repeat(np.arange(12), 5).tolist(), resamples=300, seed=trial)
        hits += found.low <= 0 <= found.high
        assert found.value == pytest.approx(values.mean())
    assert 0.88 <= hits / 150 <= 1.0


def test_a_mean_of_nothing_and_of_one_question():
    assert math.isnan(question_mean(np.array([math.nan]), ["q"]).value)
    one = question_mean(np.array([1.0, 3.0]), ["q", "q"])
    assert one.value == 2 and math.isnan(one.low)


@pytest.mark.parametrize("size", [5, 7, 30])
def test_the_permutation_p_is_scipy_s(size: int):
    x = RANDOM.normal(size=size)
    y = 0.6 * x + RANDOM.normal(size=size)
    theirs = stats.permutation_test(
        (x,), lambda a: abs(np.corrcoef(a, y)[0, 1]), permutation_type="pairings", alternative="greater",
        n_resamples=10_000 if size > 7 else 1e6,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert permutation_p(x, y) == pytest.approx(theirs.pvalue, abs=1e-9 if size <= 7 else 0.02)


def test_without_variation_there_is_no_p():
    assert math.isnan(permutation_p(np.ones(5), np.arange(5.0)))
    assert pearson(np.ones(5), np.arange(5.0)) is None


def test_mid_ranks_are_scipy_s():
    values = np.array([3.0, 1.0, 3.0, 2.0, 2.0, 2.0])
    assert mid_ranks(values).tolist() == stats.rankdata(values).tolist()
