"""Moments at which quantities turn: where they were put."""

from __future__ import annotations

import math

import numpy as np
import pytest

from misdirection.errors import MisdirectionError
from misdirection.statistics.turning import (
    broken_line,
    crossing,
    fit_logistic,
    logistic_turn,
    peak,
    rise_end,
    smoothed,
)

STEPS = list(range(0, 201, 10))


def curve(middle: float, width: float = 8.0, low: float = 0.01, high: float = 0.4) -> np.ndarray:
    return low + (high - low) / (1 + np.exp(-(np.array(STEPS) - middle) / width))


def draw(rates: np.ndarray, questions: int = 25, samples: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hits and counts of questions that differ: each has its own height."""
    random = np.random.default_rng(seed)
    heights = random.uniform(0.3, 1.7, size=(questions, 1))
    return random.binomial(samples, np.clip(rates * heights, 0, 1)).astype(float), np.full(
        (questions, len(rates)), samples
    )


def slow_knot(values: np.ndarray) -> float:
    """The knot of a least-squares fit made anew for each knot."""
    t = np.array(STEPS, float)
    found: list[tuple[float, float]] = []
    for knot in np.linspace(t[2], t[-3], 301):
        design = np.stack([np.ones_like(t), t, np.maximum(0, t - knot)], axis=1)
        found.append((float(np.linalg.lstsq(design, values, rcond=None)[1][0]), float(knot)))
    return min(found)[1]


@pytest.mark.parametrize("middle", [60.0, 100.0, 135.0])
def test_the_midpoint_of_a_logistic_is_found_exactly_without_noise(middle):
    grid = np.linspace(0, 200, 121)
    nearest = float(grid[np.abs(grid - middle).argmin()])
    assert (
        abs(float(fit_logistic(np.array(STEPS, float), curve(middle)[None])[0]) - middle) <= abs(nearest - middle) + 1.7
    )


def test_its_interval_covers_as_often_as_it_says():
    inside = 0
    for seed in range(40):
        turn = logistic_turn(STEPS, *draw(curve(100.0), seed=seed), resamples=200, seed=seed)
        assert turn.step is not None and turn.low is not None and turn.high is not None
        assert turn.low <= turn.step <= turn.high
        inside += turn.low <= 100 <= turn.high
    assert inside >= 35


def test_what_falls_again_is_fitted_up_to_its_height():
    rates = curve(60.0)
    rates[10:] = np.linspace(0.3, 0.0, 11)
    turn = logistic_turn(STEPS, *draw(rates))
    assert turn.step is not None and abs(turn.step - 60) < 10
    assert rise_end(rates) <= 11


def test_no_rise_is_no_turn():
    flat = np.zeros((10, len(STEPS))), np.full((10, len(STEPS)), 5.0)
    assert logistic_turn(STEPS, *flat).step is None
    falling = draw(np.linspace(0.5, 0.0, len(STEPS)))
    assert logistic_turn(STEPS, *falling).note == "it never rises"
    with pytest.raises(MisdirectionError, match="3 times"):
        logistic_turn(STEPS[:3], flat[0][:, :3], flat[1][:, :3])
    assert np.isnan(fit_logistic(np.array(STEPS, float), np.full((1, len(STEPS)), 0.3))[0])


def test_a_rise_without_an_end_says_so():
    turn = logistic_turn(STEPS, *draw(curve(230.0, width=12.0, high=0.9), samples=200))
    assert "still rising" in turn.note


def test_a_broken_line_breaks_where_it_was_broken():
    values = [0.5 * t + 2 * max(0, t - 80) for t in STEPS]
    turn = broken_line(STEPS, values)
    assert turn.step == pytest.approx(80, abs=0.5)
    assert turn.low is not None and turn.high is not None and turn.high - turn.low < 2
    inside = 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 10, len(values))
        noisy = broken_line(STEPS, (np.array(values) + noise).tolist())
        if seed < 3:
            assert noisy.step == pytest.approx(slow_knot(np.array(values) + noise), abs=1e-6)
        assert noisy.low is not None and noisy.high is not None
        inside += noisy.low <= 80 <= noisy.high
    assert inside >= 51
    assert broken_line(STEPS, [3.0 * t + 1 for t in STEPS]).note == "it is a straight line"
    assert broken_line(STEPS, [1.0] * len(STEPS)).step is None
    with pytest.raises(MisdirectionError, match="6 times"):
        broken_line(STEPS[:6], values[:6])


def test_a_peak_and_its_width_at_half_height():
    values = [-1.0] * 21
    values[8:13] = [-0.9, -0.6, -0.2, -0.7, -0.9]
    turn = peak(STEPS, values)
    # Half of the height of 0.8 is -0.6: reached at step 90 on one side, a fifth of the way to step 110 before it.
    assert (turn.step, turn.height) == (100, pytest.approx(0.8))
    assert (turn.low, turn.high) == (pytest.approx(90), pytest.approx(108))
    # A high end is no high point inside.
    assert peak(STEPS, [5.0, *values[1:]]).step == 100
    assert peak(STEPS, [math.nan, *values[1:]]).step == 100
    assert peak(STEPS, list(range(21))).note == "no high point inside of the curve"
    assert peak(STEPS, [0.0] * 21).step is None
    assert peak(STEPS[:2], [0.0, 1.0]).note == "fewer than three points"


def test_a_crossing_lies_between_two_checkpoints():
    turn = crossing([0, 10, 30], [0.0, 0.4, 0.8], 0.5)
    assert (turn.step, turn.low, turn.high) == (15, 10, 30)
    assert crossing([0, 10], [0.6, 0.9], 0.5).step == 0
    assert crossing([0, 10], [0.1, 0.4], 0.5).note == "it never reaches 0.5"


def test_a_running_median_takes_away_one_wild_step():
    assert smoothed([1, 1, 9, 1, 2, 2], 3) == [1, 1, 1, 2, 2, 2]


def test_a_step_with_more_answers_weighs_no_more_than_its_rate():
    rates = curve(100)
    counts = np.tile(np.where(np.arange(len(STEPS)) % 2, 10.0, 4000.0), (3, 1))
    turn = logistic_turn(STEPS, rates * counts, counts, resamples=100)
    assert turn.step == pytest.approx(100, abs=0.5)
