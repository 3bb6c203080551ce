"""Angles between subspaces and other ways of being alike, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from misdirection.directions.similarity import cosine_ceiling, cosine_matrices, cosines, relative_differences
from misdirection.directions.subspaces import principal_angles, shared_variance
from misdirection.errors import MisdirectionError

E = torch.eye(5)


def at(degrees: float, one: int, other: int) -> torch.Tensor:
    angle = math.radians(degrees)
    return math.cos(angle) * E[one] + math.sin(angle) * E[other]


def test_angles_between_planes_that_share_a_tilted_axis() -> None:
    # span(e0, e1) and span(e0 turned by 25 degrees towards e2, e1 by 70 towards e3).
    other = torch.stack([at(25, 0, 2), at(70, 1, 3)])
    for mixing in (torch.eye(2), torch.tensor([[2.0, 1.0], [-1.0, 3.0]])):
        found = principal_angles(E[:2], mixing @ other)
        assert found.tolist() == pytest.approx([25, 70], abs=1e-4)
    assert principal_angles(E[:3], E[:2]).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert principal_angles(E[:2], E[3:]).tolist() == pytest.approx([90, 90])


def test_one_direction_each_is_the_angle_between_their_lines() -> None:
    for degrees, expected in ((10, 10), (135, 45), (180, 0)):
        assert principal_angles(7 * E[:1], at(degrees, 0, 1)[None]).tolist() == pytest.approx([expected], abs=1e-4)
    for wrong in (torch.zeros(1, 5), torch.zeros(0, 5)):
        with pytest.raises(MisdirectionError, match="a subspace needs vectors"):
            principal_angles(E[:1], wrong)


def test_shared_variance_of_parallel_orthogonal_and_mixed_vectors() -> None:
    assert shared_variance(torch.stack([E[0], 3 * E[0], -E[0]])).tolist() == pytest.approx([1, 0, 0], abs=1e-6)
    assert shared_variance(E[:4]).tolist() == pytest.approx([0.25] * 4)
    # Two unit vectors with cosine c have squared singular values 1 + c and 1 - c.
    assert shared_variance(torch.stack([E[0], at(60, 0, 1)])).tolist() == pytest.approx([0.75, 0.25], abs=1e-6)


def test_cosines_and_differences_of_every_pair_by_layer() -> None:
    vectors = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    cosine, apart = cosine_matrices(vectors), relative_differences(vectors)
    assert cosine.shape == apart.shape == (3, 4, 4)
    for i in range(4):
        for j in range(4):
            torch.testing.assert_close(cosine[:, i, j], cosines(vectors[i], vectors[j]))
            plain = (vectors[i] - vectors[j]).norm(dim=-1) / ((vectors[i].norm(dim=-1) + vectors[j].norm(dim=-1)) / 2)
            torch.testing.assert_close(apart[:, i, j].float(), plain, rtol=1e-4, atol=1e-5)
    opposite = torch.stack([vectors[0], -vectors[0]])
    torch.testing.assert_close(relative_differences(opposite)[:, 0, 1], torch.full((3,), 2.0, dtype=torch.float64))


def test_the_ceiling_is_what_two_noisy_estimates_of_one_direction_show() -> None:
    generator = torch.Generator().manual_seed(2)
    width, count, truth = 400, 60, torch.randn(400, generator=generator)
    answers = [truth + 6 * torch.randn(count, width, generator=generator) for _ in range(2)]
    halves = torch.stack([cosines(a[: count // 2].mean(0), a[count // 2 :].mean(0)) for a in answers])
    measured = float(cosines(answers[0].mean(0), answers[1].mean(0)))
    assert measured < 0.75
    assert float(cosine_ceiling(halves[:, None])[0, 0, 1]) == pytest.approx(measured, abs=0.06)
    assert cosine_ceiling(torch.tensor([[1.0], [-0.5]]))[0].tolist() == [[1, 0], [0, 1]]
