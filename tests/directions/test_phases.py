"""How a path turns: closed forms, slow references, and what somebody else's checkpoints are known to show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from misdirection.directions.phases import (
    comp_path,
    comp_score,
    compact,
    cosine_to_last,
    local_cosine,
    principal_components,
    shuffled_paths,
    unit_path,
)
from misdirection.errors import MisdirectionError


def path_of(*moves: tuple[float, float], times: int = 10) -> torch.Tensor:
    """A path of `times` equal steps along each of the moves."""
    steps = [torch.tensor(move) for move in moves for _ in range(times)]
    return torch.cat([torch.zeros(1, 2), torch.stack(steps).cumsum(0)])


@pytest.mark.parametrize(("angle", "expected"), [(0, -1.0), (90, 0.0), (180, 1.0), (60, -0.5)])
def test_the_local_cosine_of_a_corner_is_that_of_its_angle(angle, expected):
    radians = math.radians(angle)
    path = path_of((1.0, 0.0), (math.cos(radians), math.sin(radians)))
    steps = [5 * i for i in range(len(path))]
    for k in (5, 10, 15):
        found = local_cosine(steps, path, k)
        held = dict(zip(found.steps, found.cosine.tolist(), strict=True))
        assert held[50] == pytest.approx(expected, abs=1e-6)
        assert [held[25], held[75]] == pytest.approx([-1.0, -1.0])
        assert found.steps == tuple(range(k, 101 - k, 5))
        if 0 < angle < 180:
            assert found.steps[int(found.cosine.argmax())] == 50


def test_the_local_cosine_is_its_formula():
    path = torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
    steps = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23]
    found = local_cosine(steps, path, 4)
    for place, t in enumerate(found.steps):
        back, on = path[steps.index(t - 4)] - path[steps.index(t)], path[steps.index(t + 4)] - path[steps.index(t)]
        assert float(found.cosine[place]) == pytest.approx(float(back @ on / (back.norm() * on.norm())), abs=1e-6)
        assert float(found.displacement[place]) == pytest.approx(max(float(back.norm()), float(on.norm())), rel=1e-6)
    assert found.steps == tuple(range(4, 17, 2))
    with pytest.raises(MisdirectionError, match="no checkpoint has another 3 steps"):
        local_cosine(steps, path, 3)


def test_the_noise_filter_drops_what_hardly_moved():
    path = torch.cat([path_of((1.0, 0.0)), path_of((0.0, 1e-3))[1:] + torch.tensor([10.0, 0.0])])
    found = local_cosine(range(21), path, 1)
    # At the corner the larger of both displacements counts.
    assert [step for step, kept in zip(found.steps, found.kept(0.0035).tolist(), strict=True) if kept] == list(
        range(1, 11)
    )
    assert bool(found.kept(0.0).all())
    still = local_cosine(range(5), torch.ones(5, 3), 1)
    assert not bool(still.kept(0.0).any())


def test_shuffled_paths_keep_ends_and_length():
    path = torch.randn(9, 4, generator=torch.Generator().manual_seed(2)).double()
    for other in shuffled_paths(path, 5, seed=0):
        assert torch.equal(other[0], path[0]) and torch.allclose(other[-1], path[-1])
        lengths = [sorted(p.diff(dim=0).norm(dim=1).tolist()) for p in (path, other)]
        assert lengths[0] == pytest.approx(lengths[1])


def test_comp_score_is_the_cosine_of_one_vector_and_a_slow_sum_for_several():
    a, b = torch.randn(2, 16, 3, generator=torch.Generator().manual_seed(3)).double()
    cosine = float(a[:, 0] @ b[:, 0] / (a[:, 0].norm() * b[:, 0].norm()))
    assert comp_score(a[:, :1], b[:, :1]) == pytest.approx(abs(cosine))
    total = sum(float(a[:, i] @ b[:, j]) ** 2 for i in range(3) for j in range(3))
    assert comp_score(a, b) == pytest.approx(math.sqrt(total) / float(a.norm() * b.norm()))
    frame = torch.linalg.qr(torch.randn(16, 9, generator=torch.Generator().manual_seed(4)))[0]
    assert comp_score(frame, frame) == pytest.approx(1 / 3, rel=1e-5)
    assert comp_score(a[:, :1].expand(-1, 3), a[:, :1].expand(-1, 3)) == pytest.approx(1.0)
    assert math.isnan(comp_score(a, torch.zeros(16, 3).double()))


def test_comp_paths_of_text_and_code():
    columns = torch.randn(5, 16, 3, generator=torch.Generator().manual_seed(5))
    text, code = comp_path(columns, "text"), comp_path(columns, "code")
    assert math.isnan(text[0])
    assert text[1:] == pytest.approx([comp_score(columns[i - 1], columns[i]) for i in range(1, 5)])
    centred = columns - columns.mean(0)
    assert code == pytest.approx([comp_score(centred[i], centred[4]) for i in range(5)])


def test_components_are_those_of_an_svd():
    path = torch.randn(14, 50, generator=torch.Generator().manual_seed(6)).cumsum(0)
    found = principal_components(path)
    centred = (path - path.mean(0)).double().numpy()
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert found.shares == pytest.approx((s**2 / (s**2).sum()).tolist(), abs=1e-9)
    for i in (0, 1):
        assert np.abs(found.scores[:, i].numpy()) == pytest.approx(np.abs(u[:, i] * s[i]), abs=1e-6)
    assert found.scores[-1, 0] >= found.scores[0, 0]
    assert float(found.bend.max()) == pytest.approx(float(found.bend.abs().max()))


def test_a_corner_bends_at_its_corner_and_a_random_walk_has_the_known_shares():
    found = principal_components(path_of((1.0, 0.0), (0.0, 1.0)))
    assert int(found.bend.argmax()) == 10
    assert sum(found.shares) == pytest.approx(1.0)
    walk = torch.randn(60, 4000, generator=torch.Generator().manual_seed(7)).cumsum(0)
    # A long random walk of many dimensions: 6/pi^2 and a quarter of it (Antognini and Sohl-Dickstein 2018).
    assert principal_components(walk).shares[:2] == pytest.approx((6 / math.pi**2, 1.5 / math.pi**2), abs=0.01)


def test_a_compact_path_has_the_same_measures():
    path = torch.randn(12, 500, generator=torch.Generator().manual_seed(8)).cumsum(0)
    small, steps = compact(path), range(12)
    assert small.shape == (12, 12)
    assert small.norm(dim=1).tolist() == pytest.approx(path.norm(dim=1).tolist(), rel=1e-5)
    for measure in (
        lambda p: local_cosine(steps, p, 2).cosine,
        lambda p: local_cosine(*(lambda u: (u[0], u[1], 1))(unit_path(steps, p))).cosine,
        cosine_to_last,
        lambda p: torch.tensor(principal_components(p).shares),
    ):
        assert measure(small).tolist() == pytest.approx(measure(path).tolist(), abs=1e-5)


def test_unit_paths_leave_out_what_has_no_direction():
    steps, path = unit_path((0, 5, 10), torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]]))
    assert steps == (5, 10)
    assert path.tolist() == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]


@pytest.mark.real
def test_the_published_drift_comes_out_as_its_readme_says(real_data: Path):
    from misdirection.studies.phases.states import published_path, read_path

    file = real_data / "directions" / "qwen2.5-7b_drift" / "ckpt_dbar_L16.pt"
    steps, path = read_path(file)
    assert steps == (0, 8, 19, 38, 75, 150, 262, 375)
    assert [round(v, 3) for v in cosine_to_last(path).tolist()] == [0, 0.098, 0.565, 0.894, 0.962, 0.989, 0.999, 1]
    row = published_path(file)
    half, most = (one.turn for one in row.turns)
    assert (half.low, half.high, most.low, most.high) == (8, 19, 38, 75)
    assert 8 < half.step < 19 and row.norm[-1] == pytest.approx(42.139, abs=1e-3)
