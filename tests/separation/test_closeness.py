"""Closeness, dimensions and pairs against closed forms and plain references."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from misdirection.errors import MisdirectionError
from misdirection.separation import (
    class_means,
    closeness,
    cosines,
    latent_overlap,
    mean_off_diagonal,
    pair_test,
    participation_ratio,
    probe_accuracy,
    shuffled_floor,
    whitener,
)
from misdirection.separation.closeness import within
from misdirection.separation.dimensions import _folds


def around(centres: np.ndarray, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows about centres, `each` of every one, and their numbers."""
    generator = np.random.default_rng(seed)
    concept = np.repeat(np.arange(len(centres)), each)
    return centres[concept] + spread * generator.standard_normal((len(concept), centres.shape[1])), concept


def test_concepts_at_the_corners_of_a_simplex_have_the_least_cosine():
    states, concept = around(10 * np.eye(5), 50, 0.01)
    found = closeness(states, concept, np.ones(len(states), dtype=bool))
    off = found.means[~np.eye(5, dtype=bool)]
    assert off == pytest.approx(-1 / 4, abs=1e-3) and np.diag(found.means) == pytest.approx(1)
    # Without chats that do not show a concept, its direction is its mean from all means.
    assert found.directions == pytest.approx(found.means)
    assert found.dimensions_of_means == pytest.approx(4, abs=1e-3)


def test_directions_are_differences_to_the_chats_that_do_not_show_the_concept():
    axes = np.eye(6)
    subject, badness = 20 * axes[:3], 3 * axes[3]
    shown, _ = around(subject + badness, 40, 0.01, 1)
    without, _ = around(subject, 40, 0.01, 2)
    states, flags = np.vstack([shown, without]), np.arange(240) < 120
    concept = np.tile(np.repeat(np.arange(3), 40), 2)
    found = closeness(states, concept, flags)
    # What the concepts are about lies apart, what makes them bad is one and the same.
    assert found.directions == pytest.approx(np.ones((3, 3)), abs=1e-3)
    assert found.means[0, 1] == pytest.approx(-0.5, abs=1e-3)


def test_whitening_takes_out_what_varies_within_concepts():
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((4000, 3)) * np.array([9.0, 1.0, 1.0])
    covariance = within(noise, np.zeros(4000, dtype=int))
    whole = whitener(covariance, 0.0)
    assert whole @ covariance @ whole == pytest.approx(np.eye(3), abs=1e-9)
    level = np.trace(covariance) / 3
    plain = 0.75 * covariance + 0.25 * level * np.eye(3)
    assert whitener(covariance, 0.25) @ whitener(covariance, 0.25) == pytest.approx(np.linalg.inv(plain))
    assert np.array_equal(whitener(np.zeros((3, 3))), np.eye(3))


def test_a_noisy_axis_that_two_concepts_share_no_longer_hides_their_difference():
    centres = np.array([[9.0, 1, 0, 0], [9.0, 0, 1, 0], [-9.0, 0, 0, 1], [-9.0, 0, 0, 0]])
    generator = np.random.default_rng(0)
    states = np.repeat(centres, 500, axis=0) + generator.standard_normal((2000, 4)) * np.array([20.0, 0.1, 0.1, 0.1])
    found = closeness(states, np.repeat(np.arange(4), 500), np.ones(2000, dtype=bool), 0.0)
    assert found.means[0, 1] > 0.9
    assert abs(found.means_whitened[0, 1]) < 0.5


def test_cosines_and_participation_by_their_formulas():
    vectors = np.random.default_rng(4).standard_normal((5, 7))
    for i in range(5):
        for j in range(5):
            plain = vectors[i] @ vectors[j] / math.sqrt(vectors[i] @ vectors[i] * (vectors[j] @ vectors[j]))
            assert cosines(vectors)[i, j] == pytest.approx(plain)
    values = np.linalg.eigvalsh(np.cov(vectors.T))
    assert participation_ratio(vectors) == pytest.approx(values.sum() ** 2 / (values**2).sum())
    assert participation_ratio(np.outer(np.arange(4), np.ones(3))) == pytest.approx(1)
    assert mean_off_diagonal(np.array([[1, 0.2], [0.4, 1]])) == pytest.approx(0.3)


def test_class_means_are_means():
    states = np.arange(12.0).reshape(4, 3)
    assert class_means(states, np.array([1, 0, 1, 0])).tolist() == [[6, 7, 8], [3, 4, 5]]


def test_shuffled_labels_leave_what_random_means_show():
    states, concept = around(30 * np.eye(40)[:5], 60, 1.0)
    floor = shuffled_floor(states, concept, np.ones(len(states), dtype=bool), 40)
    real = mean_off_diagonal(closeness(states, concept, np.ones(len(states), dtype=bool)).means ** 2)
    # Shuffled means of five classes vary in the four directions of the centres, where random centred ones have -1/4.
    assert real == pytest.approx(1 / 16, abs=0.01) and floor > 0.15


def test_the_probe_is_as_good_as_the_closed_form():
    # Two Gaussians of unit variance, 2 apart: the best rule is right with probability Phi(1).
    states, concept = around(np.array([[-1.0, 0, 0], [1.0, 0, 0]]), 4000, 1.0)
    found = probe_accuracy(states, concept, (1, 2, 3, 8))
    assert set(found) == {1, 2, 3}
    assert found[3] == pytest.approx(norm.cdf(1), abs=0.01) and found[1] == pytest.approx(norm.cdf(1), abs=0.02)
    assert probe_accuracy(states, np.random.default_rng(0).permutation(concept), (3,))[3] == pytest.approx(
        0.5, abs=0.03
    )


def test_more_concepts_than_dimensions_need_more_components():
    states, concept = around(10 * np.eye(8), 30, 0.5)
    found = probe_accuracy(states, concept, (1, 2, 4, 8))
    assert found[8] == 1.0 and found[1] < 0.8 and found[1] < found[2] < found[4] <= found[8]


def test_a_probe_needs_rows_for_its_folds():
    with pytest.raises(MisdirectionError, match="3 chats, too few for 5 folds"):
        probe_accuracy(np.zeros((6, 2)), np.repeat([0, 1], 3), (1,))


def test_latents_in_common():
    table = latent_overlap([[1, 2, 3, 4], [3, 4, 9], [], [7]])
    assert table[0, 1] == pytest.approx(2 / 3) and table[0, 0] == 1 and table[2].tolist() == [0, 0, 0, 0]
    assert table[0, 3] == 0


def test_the_pair_test_is_that_of_all_permutations():
    generator = np.random.default_rng(5)
    table = generator.random((5, 5))
    table = (table + table.T) / 2
    spill, trained = generator.random((2, 5)), (0, 3)

    def plain(held: np.ndarray) -> float:
        rows = [[j for j in range(5) if j != own] for own in trained]
        return float(
            np.mean(
                [
                    spearmanr(held[o, r], spill[t][r]).statistic
                    for t, (o, r) in enumerate(zip(trained, rows, strict=True))
                ]
            )
        )

    null = [plain(table[np.ix_(order, order)]) for order in permutations(range(5))]
    found = pair_test(table, spill, trained)
    assert found.rho == pytest.approx(plain(table)) and found.pairs == 8
    assert found.p == pytest.approx(np.mean([abs(value) >= abs(found.rho) - 1e-12 for value in null]))


def test_spill_that_follows_closeness_is_found_and_noise_is_not():
    generator = np.random.default_rng(6)
    points = generator.standard_normal((13, 6))
    table = cosines(points)
    trained = (0, 1, 2)
    follows = pair_test(table, table[list(trained)] + 0.02 * generator.standard_normal((3, 13)), trained)
    assert follows.rho > 0.9 and follows.p < 0.01
    p_values = [pair_test(table, generator.standard_normal((3, 13)), trained, seed=i).p for i in range(5)]
    assert min(p_values) > 0.01 and max(p_values) > 0.2


def test_what_was_not_measured_or_does_not_vary_makes_no_test():
    table = cosines(np.random.default_rng(1).standard_normal((5, 3)))
    spill = np.full((1, 5), math.nan)
    assert math.isnan(pair_test(table, spill, (0,)).rho) and pair_test(table, spill, (0,)).pairs == 0
    assert math.isnan(pair_test(table, np.ones((1, 5)), (0,)).p)


def test_covariance_within_takes_each_group_s_own_mean_from_it():
    states, groups = around(np.array([[9.0, 0, 0], [0, -5, 0], [0, 0, 30]]), 20, 1.0)
    plain = sum(np.outer(x - states[groups == g].mean(0), x - states[groups == g].mean(0)) for x, g in
                zip(states, groups, strict=True)) / len(states)  # fmt: skip
    assert within(states, groups) == pytest.approx(plain)


@pytest.mark.parametrize("seed", range(5, 9))
def test_the_probe_is_tested_on_the_rows_that_it_was_not_made_of(seed: int):
    """By hand: components, means and the pooled covariance of the other folds, the nearest mean for each row."""
    states, concept = around(np.random.default_rng(1).standard_normal((3, 4)), 12, 0.7, 2)
    fold, right = _folds(concept, 3, seed), np.zeros(36)
    assert all(np.bincount(concept[fold == part]).tolist() == [4, 4, 4] for part in range(3))
    for row in range(36):
        train = fold != fold[row]
        middle = states[train].mean(0)
        axes = np.linalg.svd(states[train] - middle, full_matrices=False)[2][:2].T
        means = np.stack([(states[train & (concept == c)] - middle).mean(0) @ axes for c in range(3)])
        left = (states[train] - middle) @ axes - means[concept[train]]
        pooled = left.T @ left / train.sum()
        pooled = 0.9 * pooled + 0.1 * np.trace(pooled) / 2 * np.eye(2)
        gaps = (states[row] - middle) @ axes - means
        far = [gap @ np.linalg.inv(pooled) @ gap for gap in gaps]
        right[row] = int(np.argmin(far)) == concept[row]
    assert 0.3 < right.mean() < 1
    assert probe_accuracy(states, concept, (2,), folds=3, shrinkage=0.1, seed=seed)[2] == pytest.approx(right.mean())


def test_a_fine_tune_whose_spill_does_not_vary_leaves_the_others_to_speak():
    generator = np.random.default_rng(7)
    table = generator.random((5, 5))
    table = (table + table.T) / 2
    spill = generator.random((2, 5))
    alone = pair_test(table, spill[:1], (0,))
    flat = pair_test(table, np.vstack([spill[:1], np.full((1, 5), 0.25)]), (0, 3))
    assert (flat.rho, flat.p) == pytest.approx((alone.rho, alone.p)) and (alone.pairs, flat.pairs) == (4, 8)
