"""The space of traits against scikit-learn, scipy and made-up spaces whose dimension is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from misdirection.traits.space import (
    alike,
    clusters,
    cosine_distances,
    dimension,
    map_error,
    neighbours,
    participation,
    scaled,
    silhouette,
    stress,
)

RANDOM = np.random.default_rng(5)


def halves(true: int, traits: int = 40, width: int = 60, noise: float = 0.5) -> tuple[np.ndarray, ...]:
    """Vectors in a space of `true` dimensions, seen twice with noise of their own."""
    axes = np.linalg.qr(RANDOM.normal(size=(width, true)))[0].T
    signal = RANDOM.normal(size=(traits, true)) @ axes * 3
    first, second = (signal + noise * RANDOM.normal(size=(traits, width)) for _ in range(2))
    return (first + second) / 2, first, second


@pytest.mark.parametrize("true", [1, 3, 6])
def test_the_reliable_dimension_is_the_true_one_and_noise_adds_none(true: int):
    found = dimension(*halves(true))
    assert found.reliable_participation == pytest.approx(true, rel=0.35)
    assert sum(found.reliable[:true]) > 0.8 * sum(value for value in found.reliable if value > 0)
    assert all(abs(value) < 0.02 for value in found.reliable[true + 1 :])
    assert sum(found.share) == pytest.approx(1) and list(found.share) == sorted(found.share, reverse=True)


def test_participation_counts_equal_values():
    assert participation(np.array([2.0, 2.0, 2.0])) == pytest.approx(3)
    assert math.isnan(participation(np.zeros(3)))


def test_a_plane_is_drawn_without_error_and_a_line_is_not():
    places = RANDOM.normal(size=(12, 2))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    drawn = scaled(distances, 2)
    assert stress(distances, drawn) < 1e-4
    assert np.linalg.norm(drawn[:, None] - drawn[None], axis=-1) == pytest.approx(distances, abs=1e-3)
    assert map_error(places, drawn) < 1e-6
    assert stress(distances, scaled(distances, 1)) > 0.1
    assert np.array_equal(scaled(distances, 2), drawn)


def test_scaling_is_no_worse_than_scikit_learn_s():
    from sklearn.manifold import MDS

    distances = cosine_distances(RANDOM.normal(size=(15, 8)))
    theirs = MDS(2, metric="precomputed", n_init=4, random_state=0, init="random").fit_transform(distances)
    assert stress(distances, scaled(distances, 2)) <= stress(distances, theirs) * 1.05


def test_groups_that_are_there_are_found():
    centres = np.eye(4, 20) * 10
    vectors = np.repeat(centres, 5, axis=0) + RANDOM.normal(size=(20, 20))
    distances = cosine_distances(vectors)
    found = clusters(distances)
    truth = np.repeat(np.arange(4), 5)
    assert len(set(zip(found.labels, truth.tolist(), strict=True))) == 4
    assert sorted(found.order) == list(range(20)) and found.silhouette > 0.5
    assert [truth[place] for place in found.order] == sorted(
        (truth[place] for place in found.order), key=[truth[place] for place in found.order].index
    )
    assert silhouette(distances, truth) == pytest.approx(silhouette_score(distances, truth, metric="precomputed"))


def test_two_traits_have_no_groups():
    assert clusters(cosine_distances(np.eye(2))).labels == (0, 1)


def test_distances_neighbours_and_likeness():
    vectors = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [-1.0, 0.0]])
    distances = cosine_distances(vectors)
    assert distances[0, 2] == pytest.approx(1) and distances[0, 3] == pytest.approx(2)
    assert neighbours(distances, 0) == [1, 2, 3]
    assert alike(distances, distances) == pytest.approx(1)
    assert math.isnan(alike(np.zeros((3, 3)), np.zeros((3, 3))))
