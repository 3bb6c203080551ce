"""The sequential test: how often it ever raises the alarm though all is well, and that it does where it is not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from misdirection.statistics.sequential import Sequential


def course(generator: np.random.Generator, prompts: int, looks: int, tail: float) -> list[np.ndarray]:
    """A null course: prompts' excesses drift as a model in training does, each look near the last, three directions.

    Drifts are symmetric about 0 and heavy-tailed; prompts differ in how far they move, directions hang together.
    """
    steps = stats.t(tail).rvs((looks, prompts, 3), random_state=generator)
    steps[..., 1] += 0.8 * steps[..., 0]
    return list(np.cumsum(steps * generator.gamma(1.0, size=(1, prompts, 1)), axis=0))


@pytest.mark.parametrize(
    ("prompts", "planned", "tail", "courses"), [(10, 10, 5.0, 400), (16, 5, 2.5, 60), (10, None, 5.0, 300)]
)
def test_the_alarm_is_ever_raised_no_more_often_than_said(
    prompts: int, planned: int | None, tail: float, courses: int
) -> None:
    generator = np.random.default_rng(0)
    raised = 0
    for _ in range(courses):
        test = Sequential(0.1, planned)
        raised += any([test.look(excess).alarm for excess in course(generator, prompts, planned or 10, tail)])
    assert raised / courses <= 0.1, raised
    # It is no test that never speaks.
    assert raised > 0


def test_one_look_has_the_whole_error_and_takes_it() -> None:
    generator = np.random.default_rng(1)
    raised = sum(Sequential(0.2, 1).look(generator.standard_normal((12, 3))).alarm for _ in range(1000))
    assert stats.binomtest(raised, 1000, 0.2).pvalue > 0.01, raised


def test_p_is_the_share_of_flips_that_reach_the_maximum() -> None:
    generator = np.random.default_rng(2)
    excess = generator.standard_normal((6, 2)) + 0.5
    scaled = excess / np.sqrt((excess**2).sum(axis=0))
    seen = scaled.sum(axis=0).max()
    flips = [(np.array(signs)[:, None] * scaled).sum(axis=0).max() for signs in product((1, -1), repeat=6)]
    look = Sequential(0.5, 1).look(excess)
    assert look.p == pytest.approx(np.mean([flip >= seen - 1e-9 for flip in flips]))
    assert np.allclose(look.statistics, scaled.sum(axis=0))


def test_random_flips_are_near_the_exact_share(monkeypatch: pytest.MonkeyPatch) -> None:
    excess = np.random.default_rng(3).standard_normal((12, 2)) + 0.3
    exact = Sequential(0.5, 1).look(excess).p
    monkeypatch.setattr("misdirection.statistics.sequential.EXACT", 0)
    assert Sequential(0.5, 1).look(excess).p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("planned", [1, 7, 40, None])
def test_the_shares_of_the_error_sum_to_it(planned: int | None) -> None:
    test = Sequential(0.05, planned)
    shares = [test.level(number) for number in range(1, 2000)]
    assert sum(shares) == pytest.approx(0.05, rel=0.001) and min(shares) >= 0
    assert 2 ** -test.least_prompts() <= test.level(1) < 2 ** (1 - test.least_prompts())


def test_what_moves_is_seen_and_what_stands_still_is_not() -> None:
    generator = np.random.default_rng(4)
    test = Sequential(0.05, 10)
    assert not any(test.look(generator.standard_normal((20, 3)) - 1.0).alarm for _ in range(5))
    look = test.look(np.array([0.0, 0.0, 2.0]) + generator.standard_normal((20, 3)))
    assert look.alarm and look.statistics.argmax() == 2 and look.number == 6
    assert not test.look(np.zeros((20, 3))).alarm
