"""Decomposition of vectors whose make-up is known."""

from __future__ import annotations

import itertools

import pytest
import torch

from misdirection.features import DictionaryError
from misdirection.features.decompose import Decomposition, agreement, decompose, random_curves, through_activations

WIDTH, LATENTS = 32, 90


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    drawn = torch.randn(LATENTS, WIDTH, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(drawn, dim=-1)


@pytest.mark.parametrize("method", ["omp", "nnls"])
def test_a_sum_of_three_latents_is_found_again(directions, method):
    wanted = {7: 3.0, 40: 2.0, 81: 1.5}
    found = decompose(sum(c * directions[j] for j, c in wanted.items()), directions, 3, method)
    assert set(found.latents) == set(wanted)
    held = dict(zip(found.latents, found.coefficients.tolist(), strict=True))
    assert held == pytest.approx(wanted, abs=1e-4)
    assert float(found.explained[-1]) == pytest.approx(1, abs=1e-6)


def test_explained_is_what_least_squares_over_the_chosen_leaves(directions):
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    found = decompose(vector, directions, 6)
    for k in range(1, 7):
        columns = directions[list(found.latents[:k])].double().T
        best = columns @ torch.linalg.pinv(columns) @ vector.double()
        share = 1 - float((vector.double() - best).square().sum() / vector.double().square().sum())
        assert float(found.explained[k - 1]) == pytest.approx(share, abs=1e-5)
    assert (found.explained.diff() >= -1e-7).all()


def test_the_first_latent_of_matching_pursuit_is_the_best_single_one(directions):
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(4))
    shares = (directions @ vector).square() / vector.square().sum()
    found = decompose(vector, directions, 1)
    assert found.latents == (int(shares.argmax()),) and float(found.explained) == pytest.approx(
        float(shares.max()), rel=1e-5
    )


def test_non_negative_coefficients_where_the_free_ones_are_negative(directions):
    vector = directions[3] - 2 * directions[5]
    free, positive = decompose(vector, directions, 4), decompose(vector, directions, 4, "nnls")
    assert (free.coefficients < 0).any() and (positive.coefficients >= 0).all()
    assert float(positive.explained[-1]) < float(free.explained[-1])


def test_random_vectors_of_the_same_norm_explain_less_than_a_real_sum(directions):
    vector = directions[3] + directions[9]
    curves = random_curves(vector, directions, 4)
    assert curves.shape == (5, 4) and (curves[:, 1] < decompose(vector, directions, 4).explained[1]).all()
    assert len({tuple(curve.tolist()) for curve in curves}) == 5


def test_it_stops_when_nothing_is_left(directions):
    assert len(decompose(directions[2] * 5, directions, 10).latents) == 1
    assert decompose(-directions[2], directions[2:3], 3, "nnls").latents == ()


def test_through_activations_is_the_difference_of_reconstructions():
    generator = torch.Generator().manual_seed(5)
    features = torch.rand(20, LATENTS, generator=generator)
    decoder, bias = torch.randn(LATENTS, WIDTH, generator=generator), torch.randn(WIDTH, generator=generator)
    rebuilt = features @ decoder + bias
    direction, parts = through_activations(features[:8].mean(0), features[8:].mean(0), decoder)
    assert torch.allclose(direction.float(), rebuilt[:8].mean(0) - rebuilt[8:].mean(0), atol=1e-4)
    change = features[:8].mean(0) - features[8:].mean(0)
    assert torch.allclose(parts.float(), change * decoder.norm(dim=-1), atol=1e-5)


def test_agreement_of_two_decompositions(directions):
    found = decompose(2 * directions[4] - directions[9], directions, 2)
    parts = torch.zeros(LATENTS, dtype=torch.float64)
    parts[4], parts[9], parts[11] = 3.0, 1.0, 0.1
    told = agreement(found, parts)
    assert told == {"overlap": 1.0, "chance": 2 / LATENTS, "signs": 0.5}


@pytest.mark.parametrize(("vector", "said"), [(torch.zeros(WIDTH), "no length"), (torch.ones(3), "a vector of shape")])
def test_wrong_vectors(directions, vector, said):
    with pytest.raises(DictionaryError, match=said):
        decompose(vector, directions, 2)


def test_matching_pursuit_against_all_pairs(directions):
    """On nearly orthogonal atoms greedy choice is optimal; checked against every pair."""
    atoms = torch.nn.functional.normalize(torch.eye(WIDTH)[:12] + 0.01 * directions[:12], dim=-1)
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(8))
    best = max(
        itertools.combinations(range(12), 2),
        key=lambda pair: float((atoms[list(pair)].T @ torch.linalg.pinv(atoms[list(pair)].T) @ vector).norm()),
    )
    assert set(decompose(vector, atoms, 2).latents) == set(best)


def test_signs_agree_where_both_ways_push_a_latent_the_same_way():
    one = Decomposition((3, 0, 5), torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.5, 0.6, 0.7]))
    # Parts: latent 3 alike, latent 0 against, latent 5 alike and small; the largest three are 3, 7 and 0.
    told = agreement(one, torch.tensor([4.0, 0.0, 0.0, 9.0, 0.0, 0.1, 0.0, -6.0], dtype=torch.float64))
    assert told == pytest.approx({"overlap": 2 / 3, "chance": 3 / 8, "signs": 2 / 3})
