"""Updates compared by their factors against the full matrices, which only the test makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from misdirection.repair.change import Factors
from misdirection.repair.errors import RepairError
from misdirection.repair.updates import (
    Update,
    by_module,
    check_alike,
    cosine,
    difference,
    inner,
    norm,
    random_update,
    shuffled_update,
)


def update(seed: int, rank: int = 3, paths: tuple[str, ...] = ("first", "second")) -> dict[str, Factors]:
    draw = torch.Generator().manual_seed(seed)
    return {
        path: Factors(torch.randn(rank, 11, generator=draw), torch.randn(17, rank, generator=draw), 0.5 + place)
        for place, path in enumerate(paths)
    }


def whole(held: Update) -> dict[str, np.ndarray]:
    return {path: (one.scaling * one.b.double() @ one.a.double()).numpy() for path, one in held.items()}


def test_inner_products_norms_and_cosines_are_those_of_the_matrices() -> None:
    one, other = update(0), update(1, 2)
    a, b = whole(one), whole(other)
    plain = sum(float((a[path] * b[path]).sum()) for path in a)
    sizes = [sum(float((m * m).sum()) for m in side.values()) ** 0.5 for side in (a, b)]
    assert inner(one, other) == pytest.approx(plain)
    assert [norm(one), norm(other)] == pytest.approx(sizes)
    assert cosine(one, other) == pytest.approx(plain / sizes[0] / sizes[1])
    assert cosine(one, one) == pytest.approx(1.0)


def test_a_module_of_one_alone_adds_nothing_to_the_product_and_something_to_the_norm() -> None:
    one, other = update(0), update(1, paths=("first",))
    assert inner(one, other) == pytest.approx(float((whole(one)["first"] * whole(other)["first"]).sum()))
    assert [part.module for part in by_module(one, other)] == ["first"]


def test_angles_are_those_of_scipy() -> None:
    one, other = update(0), update(1, 2)
    a, b = whole(one), whole(other)
    for part in by_module(one, other):
        first, second = a[part.module], b[part.module]
        assert part.cosine == pytest.approx((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))
        for turned, overlap, nearest, chance, width in (
            (False, part.outputs, part.nearest_output, part.outputs_chance, 17),
            (True, part.inputs, part.nearest_input, part.inputs_chance, 11),
        ):
            bases = [np.linalg.svd(m.T if turned else m)[0][:, :rank] for m, rank in ((first, 3), (second, 2))]
            cosines = np.cos(subspace_angles(*bases))
            assert overlap == pytest.approx((cosines**2).mean(), abs=1e-6)
            assert nearest == pytest.approx(cosines.max(), abs=1e-6)
            assert chance == pytest.approx(3 / width)


def test_a_rank_that_is_not_used_up_is_no_space() -> None:
    one = update(0, 1)["first"]
    twice = Factors(torch.cat([one.a, one.a]), torch.cat([one.b, one.b], dim=1), one.scaling)
    part = by_module({"first": one}, {"first": twice})[0]
    assert (part.outputs, part.inputs) == pytest.approx((1.0, 1.0)) and part.outputs_chance == pytest.approx(1 / 17)
    empty = Factors(one.a, torch.zeros_like(one.b), 1.0)
    assert by_module({"first": one}, {"first": empty})[0].cosine is None
    assert cosine({"first": one}, {"first": empty}) is None


def test_the_overlap_of_random_spaces_is_chance() -> None:
    found = [by_module(update(n), update(1000 + n))[0] for n in range(300)]
    assert np.mean([part.outputs or 0 for part in found]) == pytest.approx(3 / 17, abs=0.02)
    assert np.mean([part.inputs or 0 for part in found]) == pytest.approx(3 / 11, abs=0.02)


def test_a_difference_is_exact() -> None:
    one, other = update(0), update(1, 2, ("second", "third"))
    found, a, b = whole(difference(one, other)), whole(one), whole(other)
    assert found.keys() == {"first", "second", "third"}
    for path, matrix in found.items():
        np.testing.assert_allclose(matrix, a.get(path, 0) - b.get(path, 0), atol=1e-12)


def test_controls_keep_norms_and_spectra_and_lie_elsewhere() -> None:
    one = update(0, 3, tuple(f"m{n}" for n in range(40)))
    for made in (random_update(one, 1), shuffled_update(one, 1)):
        for path, matrix in whole(made).items():
            assert np.linalg.norm(matrix) == pytest.approx(np.linalg.norm(whole(one)[path]), rel=1e-5)
        assert abs(cosine(one, made) or 1) < 0.1
    spectra = [np.linalg.svd(whole(held)["m0"], compute_uv=False) for held in (one, shuffled_update(one, 1))]
    np.testing.assert_allclose(*spectra, rtol=1e-5, atol=1e-5)
    assert not torch.equal(random_update(one, 1)["m0"].a, random_update(one, 2)["m0"].a)
    assert not torch.equal(random_update(one, 1)["m0"].a, random_update(one, 1)["m1"].a)


def test_updates_of_other_bases_are_refused() -> None:
    one = update(0)
    with pytest.raises(RepairError, match="no module in common"):
        check_alike(one, {"else": one["first"]}, "x and y")
    with pytest.raises(RepairError, match="x and y do not belong to one base"):
        check_alike(one, {"first": Factors(torch.ones(1, 5), torch.ones(17, 1), 1.0)}, "x and y")
