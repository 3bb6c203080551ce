"""Directions of shuffled labels against a plain loop, and the band of their cosines against its definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from tests.directions.test_mean_difference import TUNED, plain_mean, sources
from tests.families import LAYERS, WIDTH, shared

from misdirection.directions import Pools, convention, mean_difference
from misdirection.directions.null import cosine_band, match, null_directions
from misdirection.errors import MisdirectionError
from misdirection.statistics import shuffled_columns

POOLS = Pools(aligned=(0, 2, 4, 6, 7), misaligned=(1, 3, 5, 8, 9))


def test_equals_a_plain_loop_over_the_shuffled_pools() -> None:
    answers, how = sources(10), convention("soligo2025")
    found = null_directions(shared("llama"), TUNED, answers, POOLS, how, shuffles=3, seed=3)
    members = [answers[i] for i in (*POOLS.misaligned, *POOLS.aligned)]
    for shuffled, groups in ((found.free, [""] * 10), (found.within, [m.question_id for m in members])):
        assert shuffled.shape == (3, LAYERS, WIDTH)
        columns = shuffled_columns(np.arange(10) < 5, 3, groups=groups, seed=3).reshape(10, 3, 2).astype(bool)
        for k in range(3):
            bad, good = ([members[i] for i in np.flatnonzero(columns[:, k, side])] for side in (0, 1))
            expected = plain_mean(bad, how.span, how.weighting) - plain_mean(good, how.span, how.weighting)
            torch.testing.assert_close(shuffled[k].double(), expected, rtol=1e-4, atol=1e-5)


def test_the_matched_direction_is_a_weighted_sum_of_differences_within_questions() -> None:
    answers, how = sources(10), convention("persona2025")
    found = null_directions(shared("llama"), TUNED, answers, POOLS, how, shuffles=2)
    total, weights = torch.zeros(LAYERS, WIDTH, dtype=torch.float64), 0.0
    for question in ("q0", "q1", "q2"):
        bad, good = (
            [answers[i] for i in pool if answers[i].question_id == question]
            for pool in (POOLS.misaligned, POOLS.aligned)
        )
        if bad and good:
            weight = len(bad) * len(good) / (len(bad) + len(good))
            apart = plain_mean(bad, how.span, how.weighting) - plain_mean(good, how.span, how.weighting)
            total, weights = total + weight * apart, weights + weight
    assert weights > 0 and 0 < found.mixed <= 3
    torch.testing.assert_close(found.matched.double(), total / weights, rtol=1e-4, atol=1e-5)
    assert found.matched_free.shape == (2, LAYERS, WIDTH)


def test_matched_pools_have_the_same_questions() -> None:
    draw = np.random.default_rng(4)
    bad = draw.random(50) < 0.3
    questions = np.array([f"q{n}" for n in draw.integers(0, 12, 50)])
    weights = match(np.stack([bad, ~bad], 1).astype(float), list(questions))
    for name in set(questions):
        mine = questions == name
        b, g = bad[mine].sum(), (~bad[mine]).sum()
        assert weights[mine].sum(0) == pytest.approx([b * g / (b + g)] * 2)
    assert not weights[bad, 1].any() and not weights[~bad, 0].any()


def test_shuffles_keep_the_pools_sizes_and_within_questions_each_questions_share() -> None:
    draw = np.random.default_rng(1)
    bad = draw.random(60) < 0.4
    questions = [f"q{n}" for n in draw.integers(0, 7, 60)]
    free, inside = (shuffled_columns(bad, 20, groups=g, seed=5).reshape(60, 20, 2) for g in (None, questions))
    for columns in (free, inside):
        np.testing.assert_array_equal(columns.sum(2), 1)
        np.testing.assert_array_equal(columns[:, :, 0].sum(0), bad.sum())
        assert any((columns[:, k, 0] != bad).any() for k in range(20))
    for name in set(questions):
        mine = np.array(questions) == name
        np.testing.assert_array_equal(inside[mine, :, 0].sum(0), bad[mine].sum())
    assert any(
        (free[np.array(questions) == "q0", k, 0].sum() != bad[np.array(questions) == "q0"].sum()) for k in range(20)
    )


def test_labels_that_follow_the_question_survive_a_shuffle_within_questions() -> None:
    # Every bad answer is to one question, every good one to the others: what is left is the question, whole.
    answers, how = sources(12), convention("persona2025")
    pools = Pools(
        tuple(i for i in range(12) if answers[i].question_id != "q0"),
        tuple(i for i in range(12) if answers[i].question_id == "q0"),
    )
    real = mean_difference(shared("llama"), TUNED, answers, pools, how, resamples=1).vectors
    found = null_directions(shared("llama"), TUNED, answers, pools, how, shuffles=3)
    torch.testing.assert_close(found.within, real.expand_as(found.within), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found.free[0], real, atol=1e-3)
    # And nothing is left of it once questions are matched.
    assert found.mixed == 0 and bool(found.matched.isnan().all())


def test_the_band_holds_what_it_says_of_the_cosines_of_every_pair() -> None:
    draws = [torch.randn(50, 2, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    low, high = cosine_band(draws, level=0.9)
    for layer in range(2):
        plain = [
            float(a[k, layer] @ b[k, layer] / a[k, layer].norm() / b[k, layer].norm())
            for a, b in combinations(draws, 2)
            for k in range(50)
        ]
        assert len(plain) == 150
        assert (float(low[layer]), float(high[layer])) == pytest.approx(
            tuple(np.quantile(plain, [0.05, 0.95])), abs=1e-5
        )
    with pytest.raises(MisdirectionError, match="two models or more"):
        cosine_band(draws[:1])
