from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.engine import reference

from misdirection.engine.streams import stream_keys, uniforms


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4), st.integers(0, 2**20), st.integers(1, 5))
def test_uniforms_are_splitmix64_in_whole_numbers(keys: list[int], start: int, steps: int) -> None:
    found = uniforms(np.array(keys, dtype=np.uint64), start, steps)
    assert found.tolist() == [[reference.splitmix(key, start + step) for step in range(steps)] for key in keys]


def test_splitmix64_gives_the_published_sequence() -> None:
    """The first outputs from seed 1234567, as in the reference implementation's test vector."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    found = uniforms(np.array([1234567], dtype=np.uint64), 0, 4)[0]
    assert found.tolist() == [(value >> 11) / 2**53 for value in published]


def test_keys_depend_on_seed_question_and_sample() -> None:
    rows = [("q", 0), ("q", 1), ("p", 0), ("q1", 0), ("q", 10)]
    keys = {int(key) for seed in (0, 1, 10) for key in stream_keys(seed, rows)}
    assert len(keys) == 15
    assert [int(key) for key in stream_keys(1, rows)] == [reference.stream_key(1, *row) for row in rows]


@pytest.fixture(scope="module")
def grid() -> np.ndarray:
    return uniforms(stream_keys(0, [(f"question {q}", n) for q in range(20) for n in range(50)]), 0, 200)


def test_numbers_are_uniform_within_and_across_streams(grid: np.ndarray) -> None:
    assert grid.min() >= 0
    assert grid.max() < 1
    assert stats.kstest(grid.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(grid[:, 0], "uniform").pvalue > 1e-3
    # P-values of many uniform streams are uniform themselves.
    assert stats.kstest([stats.kstest(row, "uniform").pvalue for row in grid[:300]], "uniform").pvalue > 1e-3


def test_numbers_are_independent_between_steps_and_between_streams(grid: np.ndarray) -> None:
    bound = 5 / np.sqrt(grid.size)
    centred = grid - 0.5
    for lag in (1, 2, 7):
        assert abs((centred[:, lag:] * centred[:, :-lag]).mean() * 12) < bound
        assert abs((centred[lag:] * centred[:-lag]).mean() * 12) < bound
    pairs = np.histogram2d(grid[:, :-1].ravel(), grid[:, 1:].ravel(), bins=16)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 1e-3
