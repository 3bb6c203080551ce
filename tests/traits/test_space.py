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


def test_silhouettes_and_groups_by_hand():
    points = np.array([0.0, 1.0, 10.0, 11.0, 30.0])
    distances = np.abs(points[:, None] - points[None])
    labels = np.array([0, 0, 1, 1, 2])
    # (b - a) / max(a, b) of each: the last is alone in its group, and counts 0.
    wanted = np.mean([(10.5 - 1) / 10.5, (9.5 - 1) / 9.5, (9.5 - 1) / 9.5, (10.5 - 1) / 10.5, 0])
    assert silhouette(distances, labels) == pytest.approx(wanted)
    assert silhouette(distances, np.zeros(5, dtype=int)) == 0 and silhouette(np.zeros((4, 4)), labels[:4]) == 0
    found = clusters(distances)
    assert found.silhouette == pytest.approx(wanted) and len(set(found.labels)) == 3
    # Groups are numbered as the tree draws them.
    drawn = [found.labels[place] for place in found.order]
    assert drawn == sorted(drawn) and drawn[0] == 0


def test_maps_and_likeness_know_nothing_of_where_and_how_large_they_are():
    places = RANDOM.normal(size=(9, 2))
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert map_error(places, 3 * places @ turn + 5) == pytest.approx(0, abs=1e-12)
    assert math.isnan(map_error(places[:2], places[:2]))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    other = cosine_distances(RANDOM.normal(size=(9, 4)))
    upper = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    plain = np.corrcoef([distances[pair] for pair in upper], [other[pair] for pair in upper])[0, 1]
    assert alike(distances, 2 * other + 1) == alike(other, distances) == pytest.approx(plain)
    assert math.isnan(alike(np.zeros((2, 2)), np.ones((2, 2)))), "one distance alone is like any other"
    flat = np.ones((9, 9)) - np.eye(9)
    assert math.isnan(alike(distances, flat)) and math.isnan(alike(flat, distances))
    assert stress(distances, places) == pytest.approx(0, abs=1e-12)
    # A map k times too large: |k d - d| over |k d|.
    assert stress(distances, 2 * places) == pytest.approx(0.5) and math.isnan(stress(distances, np.zeros((9, 2))))


def test_cosine_distances_are_those_of_the_definition_and_never_negative():
    vectors = RANDOM.normal(size=(6, 3)) * 1e-3
    vectors[5] = vectors[0] * 7
    found = cosine_distances(vectors)
    for i in range(6):
        for j in range(6):
            norms = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j])
            assert found[i, j] == pytest.approx(1 - vectors[i] @ vectors[j] / norms, abs=1e-12)
    assert found.min() >= 0 and found[0, 5] == pytest.approx(0, abs=1e-12) and (found == found.T).all()
    assert cosine_distances(np.array([[0.0, 0.0], [1.0, 0.0]]))[0, 1] == 1
