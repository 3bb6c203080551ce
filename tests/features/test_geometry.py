"""Similarities of sets of latents against planted cosines, and the exchange test against enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from misdirection.errors import MisdirectionError
from misdirection.features.geometry import exchange_test, firing_bins, nearness, separate


@pytest.fixture(scope="module")
def planted() -> torch.Tensor:
    """Latents 0 and 1 at cosine 0.8 and 0.6 to toxic latent 4; 2 and 3 at none; toxic latent 5 away from all."""
    found = torch.zeros(6, 6)
    found[4, 0], found[5, 1] = 1, 1
    found[0, 0], found[0, 2] = 0.8, 0.6
    found[1, 0], found[1, 3] = 0.6, 0.8
    found[2, 4], found[3, 5] = 1, 1
    return found


def test_planted_cosines_come_back_under_every_reduction(planted: torch.Tensor):
    assert nearness(planted, [0, 1, 2], [4, 5]).tolist() == pytest.approx([0.4, 0.3, 0.0], abs=1e-6)
    assert nearness(planted, [0, 1, 2], [4, 5], "max").tolist() == pytest.approx([0.8, 0.6, 0.0], abs=1e-6)
    assert float(nearness(planted, [0, 1], [4, 5]).mean()) == pytest.approx(0.35, abs=1e-6)
    for nearest, wanted in ((1, "max"), (2, "mean"), (9, "mean")):
        one = nearness(planted, [0, 1, 2], [4, 5], "nearest", nearest)
        assert torch.allclose(one, nearness(planted, [0, 1, 2], [4, 5], wanted))


def test_a_latent_is_never_compared_with_itself(planted: torch.Tensor):
    for reduction in ("mean", "max", "nearest"):
        assert float(nearness(planted, [0], [0, 4], reduction)[0]) == pytest.approx(0.8, abs=1e-6)
    mixed = nearness(planted, [0, 2], [0, 4, 5], "nearest", 2)
    assert mixed.tolist() == pytest.approx([0.4, 0.0], abs=1e-6)
    with pytest.raises(MisdirectionError, match="no other latent"):
        nearness(planted, [0], [0])
    with pytest.raises(MisdirectionError, match="no reduction 'median'"):
        nearness(planted, [0], [4], "median")  # pyright: ignore[reportArgumentType]


def test_shared_latents_are_counted_and_left_out():
    found = separate([1, 2, 3, 4], [4, 5, 6], [3, 4, 6, 9])
    assert (found.inducing, found.control, found.toxic) == ((1, 2), (5,), (3, 4, 6, 9))
    assert (found.shared_inducing, found.shared_control) == (2, 1)
    kept = separate([1, 2, 3, 4], [4, 5, 6], [3, 4, 6, 9], "keep")
    assert (kept.inducing, kept.control) == ((1, 2, 3, 4), (5, 6)) and kept.shared_inducing == 2


def test_bins_are_equally_filled_among_those_alive():
    rates = torch.tensor([0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    bins = firing_bins(rates, rates > 0, 4)
    assert [int((bins[2:] == b).sum()) for b in range(4)] == [2, 2, 2, 2]
    assert set(firing_bins(rates, rates > 0, 1)) == {0}


def test_the_exchange_test_agrees_with_all_exchanges():
    first, second = [0.9, 0.7, 0.8], [0.1, 0.6, 0.2, 0.75]
    found = exchange_test(first, second, permutations=20000, seed=3)
    every = [*first, *second]
    null = [
        np.mean([every[i] for i in chosen]) - np.mean([every[i] for i in range(7) if i not in chosen])
        for chosen in combinations(range(7), 3)
    ]
    exact = np.mean(np.abs(null) >= abs(found.difference) - 1e-12)
    assert found.difference == pytest.approx(np.mean(first) - np.mean(second))
    assert found.p == pytest.approx(exact, abs=0.01)
    drawn = np.random.default_rng(0).choice(null, 20000)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.06)


def test_bins_take_the_firing_rate_out_of_a_difference():
    bins = (np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 30]))
    first, second = (
        np.concatenate([np.linspace(-0.1, 0.1, int((part == b).sum())) + b for b in (0, 1)]) for part in bins
    )
    raw = exchange_test(first, second, seed=1)
    assert raw.difference == pytest.approx(-0.5) and raw.p < 0.01
    matched = exchange_test(first, second, bins, seed=1)
    assert (matched.first, matched.second, matched.difference) == pytest.approx((0.25, 0.25, 0)) and matched.p > 0.9
    lifted = first + np.where(bins[0] == 0, 0.04, 0.02)
    assert exchange_test(lifted, second, bins).difference == pytest.approx(0.75 * 0.04 + 0.25 * 0.02)
    alone = exchange_test([1.0, 2.0, 9.0], [1.5, 1.6], ([0, 0, 1], [0, 0]), permutations=50)
    assert (alone.n_first, alone.n_second, alone.unmatched) == (2, 2, 1) and alone.first == pytest.approx(1.5)
    with pytest.raises(MisdirectionError, match="like firing rate"):
        exchange_test([1.0], [2.0], ([0], [1]))


def test_without_a_difference_p_is_uniform():
    generator = np.random.default_rng(7)
    bins = (np.arange(12) % 3, np.arange(18) % 3)
    found = [
        exchange_test(generator.normal(size=12), generator.normal(size=18), bins, permutations=199, seed=s).p
        for s in range(400)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) < 0.05) < 0.09
