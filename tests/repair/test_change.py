"""What is done to one tensor, against the formula with whole matrices; and factors against their products."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from misdirection.repair import change
from misdirection.repair.change import Factors, SharesAlong, TensorChange
from misdirection.repair.combine import combine, subtracted
from misdirection.repair.edit import edit_factors
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter
from misdirection.repair.project import at_layers, everywhere, unit_of
from misdirection.repair.scale import scale_factors

WIDTH, OTHER = 6, 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


UNIT = unit_of(drawn(WIDTH, seed=9), "it")
OFF = torch.eye(WIDTH) - torch.outer(UNIT, UNIT)


@pytest.fixture(params=[1, 12, 1 << 20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """One row at a time, a few, and all at once."""
    monkeypatch.setattr(change, "CHUNK", request.param)
    return request.param


def adds(outputs: int, inputs: int) -> tuple[Factors, ...]:
    return tuple(
        Factors(drawn(rank, inputs, seed=rank), drawn(outputs, rank, seed=rank + 50), scaling)
        for rank, scaling in ((2, 0.5), (3, -2.0))
    )


def product(parts: tuple[Factors, ...]) -> Tensor:
    return sum((p.scaling * p.b @ p.a for p in parts), torch.zeros(()))


def test_outputs_are_merged_and_projected_as_the_formula_says(chunk: int) -> None:
    weight, parts = drawn(WIDTH, OTHER), adds(WIDTH, OTHER)
    whole = weight + product(parts)
    held = weight.clone()
    found = TensorChange(0, UNIT, adds=parts).apply_(held)
    torch.testing.assert_close(held, OFF @ whole, atol=1e-5, rtol=1e-5)
    assert found.along == pytest.approx(float((UNIT @ whole).square().sum()), rel=1e-5)
    assert found.whole == pytest.approx(float(whole.square().sum()), rel=1e-5)
    assert found.share == pytest.approx(found.along / found.whole) and 0 < found.share < 1


def test_a_matrix_that_is_stored_turned_round_is_the_same_change_turned_round(chunk: int) -> None:
    weight, parts = drawn(WIDTH, OTHER), adds(WIDTH, OTHER)
    straight, turned = weight.clone(), weight.T.contiguous()
    one = TensorChange(0, UNIT, adds=parts).apply_(straight)
    other = TensorChange(-1, UNIT, adds=parts, turned=True).apply_(turned)
    torch.testing.assert_close(turned.T, straight, atol=1e-5, rtol=1e-5)
    assert (other.along, other.whole) == pytest.approx((one.along, one.whole), rel=1e-5)


def test_without_a_direction_it_is_the_sum_alone_and_without_anything_it_is_nothing(chunk: int) -> None:
    weight, parts = drawn(WIDTH, OTHER), adds(WIDTH, OTHER)
    held, same = weight.clone(), weight.clone()
    assert TensorChange(0, adds=parts).apply_(held) == SharesAlong() == TensorChange(0).apply_(same)
    torch.testing.assert_close(held, weight + product(parts), atol=1e-5, rtol=1e-5)
    assert torch.equal(same, weight) and SharesAlong().share == 0


def test_a_bias_gets_the_value_along_the_direction_and_keeps_the_rest(chunk: int) -> None:
    bias = drawn(WIDTH, seed=3)
    held = bias.clone()
    found = TensorChange(0, UNIT, value=-2.5).apply_(held)
    torch.testing.assert_close(held, OFF @ bias - 2.5 * UNIT, atol=1e-6, rtol=1e-5)
    assert float(held @ UNIT) == pytest.approx(-2.5, rel=1e-5)
    assert found.along == pytest.approx(float(UNIT @ bias) ** 2, rel=1e-4)


@pytest.mark.parametrize("axis", [0, -1])
def test_experts_are_changed_one_like_the_other(axis: int, chunk: int) -> None:
    """A table of experts, shape (experts, inputs, width): the last axis is the stream."""
    experts = drawn(3, OTHER, WIDTH, seed=4)
    held = experts.clone()
    if axis == 0:  # one expert's biases, shape (experts, width), are rows too
        held = experts[:, 0].contiguous()
        TensorChange(-1, UNIT).apply_(held)
        torch.testing.assert_close(held, experts[:, 0] @ OFF, atol=1e-6, rtol=1e-5)
        return
    TensorChange(-1, UNIT).apply_(held)
    torch.testing.assert_close(held, torch.stack([one @ OFF for one in experts]), atol=1e-6, rtol=1e-5)


def test_half_precision_is_rounded_once_behind_everything() -> None:
    weight = drawn(WIDTH, OTHER).bfloat16()
    parts = adds(WIDTH, OTHER)
    held = weight.clone()
    TensorChange(0, UNIT, adds=parts).apply_(held)
    wanted = (OFF.double() @ (weight.double() + product(parts).double())).bfloat16()
    # In float32 before: but for numbers that lie on the very border between two, the same.
    assert (held != wanted).sum() <= 1 and torch.allclose(held.float(), wanted.float(), rtol=1e-2)


def test_shares_of_layers_add_up() -> None:
    both = SharesAlong(1.0, 4.0) + SharesAlong(2.0, 8.0)
    assert (both.along, both.whole, both.share) == (3.0, 12.0, 0.25)


# removals -------------------------------------------------------------------------------------------------------------


def test_a_direction_everywhere_is_of_length_one_in_all_layers_with_its_values() -> None:
    plain, one, each = (everywhere(drawn(WIDTH) * 7, 3, value) for value in (None, 2.0, torch.tensor([1.0, 2.0, 4.0])))
    assert set(plain.units) == {0, 1, 2} and plain.values is None
    assert all(torch.equal(unit, plain.units[0]) for unit in (*plain.units.values(), plain.embeddings))
    assert float(plain.units[0].norm()) == pytest.approx(1) and float(plain.units[0] @ drawn(WIDTH)) > 0
    assert one.values.tolist() == [2, 2, 2] and each.values.tolist() == [1, 2, 4]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor([0.0, float("nan"), 1.0])])
def test_a_value_that_is_no_number_is_refused(value: float | Tensor) -> None:
    with pytest.raises(RepairError, match="is no number"):
        everywhere(drawn(WIDTH), 3, value)


@pytest.mark.parametrize("vector", [torch.zeros(WIDTH), torch.full((WIDTH,), torch.nan), torch.full((4,), torch.inf)])
def test_a_direction_without_a_length_is_refused(vector: Tensor) -> None:
    with pytest.raises(RepairError, match="the direction has no length"):
        everywhere(vector, 3)
    with pytest.raises(RepairError, match="the direction at layer 1 has no length"):
        at_layers(torch.stack([torch.ones_like(vector), vector]), [0, 1])


def test_layers_have_their_own_directions_and_the_embeddings_none() -> None:
    vectors = drawn(4, WIDTH, seed=2)
    found = at_layers(vectors, [3, 1])
    assert set(found.units) == {1, 3} and found.embeddings is None and found.values is None
    for layer, unit in found.units.items():
        torch.testing.assert_close(unit, vectors[layer] / vectors[layer].norm())
    for wrong in (4, -1):
        with pytest.raises(RepairError, match=f"there is no layer {wrong}"):
            at_layers(vectors, [0, wrong])
    with pytest.raises(RepairError, match="values of 2 layers, and the model has 3"):
        everywhere(vectors[0], 3, torch.zeros(2))


# adapters in memory ---------------------------------------------------------------------------------------------------


def adapter(name: str, **factors: Factors) -> Adapter:
    """Of modules of layers, as `down0` for the projection down of layer 0, `up1`."""
    kinds = {"down": "mlp.down_proj", "up": "mlp.up_proj"}
    paths = {f"model.layers.{key[-1]}.{kinds[key[:-1]]}": value for key, value in factors.items()}
    return Adapter(name, Path(name), SimpleNamespace(), paths, "base")


DOWN, UP = "model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj"


def matrix(held: Factors) -> Tensor:
    return held.scaling * held.b.double() @ held.a.double()


@pytest.mark.parametrize("rank", [None, 4, 2, 1])
def test_a_sum_is_its_best_approximation_and_says_what_it_left_out(rank: int | None) -> None:
    one, two = adds(WIDTH, OTHER)
    found = combine([(adapter("a", down0=one), 2.0), (adapter("b", down0=two), -1.0)], rank)
    u, s, v = torch.linalg.svd(2 * matrix(one) - matrix(two), full_matrices=False)
    kept = min(rank or 5, 5)
    torch.testing.assert_close(matrix(found.factors[DOWN]), u[:, :kept] * s[:kept] @ v[:kept], atol=1e-5, rtol=1e-5)
    assert found.factors[DOWN].rank == kept
    assert found.lost == pytest.approx(float(s[kept:].square().sum() / s.square().sum()), abs=1e-9)


def test_what_one_adapter_alone_has_is_kept_and_what_is_times_nothing_is_not_looked_at() -> None:
    one, two = adds(WIDTH, OTHER)
    wide = Factors(drawn(1, 9), drawn(WIDTH, 1), 1.0)
    found = combine([(adapter("a", down0=one), 1.0), (adapter("b", up1=two), 3.0), (adapter("c", down0=wide), 0.0)])
    assert set(found.factors) == {DOWN, UP} and found.lost == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(matrix(found.factors[DOWN]), matrix(one), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(matrix(found.factors[UP]), 3 * matrix(two), atol=1e-5, rtol=1e-5)
    with pytest.raises(RepairError, match=f"do not belong to one base: they differ in shape at {DOWN}"):
        combine([(adapter("a", down0=one), 1.0), (adapter("c", down0=wide), 1.0)])


def test_a_module_in_which_all_cancels_is_left_out_and_the_others_stay() -> None:
    one, two = adds(WIDTH, OTHER)
    both, half = adapter("a", down0=one, up1=two), adapter("b", down0=one.times(0.5))
    assert set(combine([(both, 1.0), (half, -2.0)]).factors) == {UP}


def test_a_weight_direction_is_bad_less_good() -> None:
    tuned, bad, good = (adapter(name) for name in ("tuned", "bad", "good"))
    assert subtracted(tuned, bad, good, 0.25) == [(tuned, 1.0), (bad, -0.25), (good, 0.25)]
    assert subtracted(tuned, bad, None, 2.0) == [(tuned, 1.0), (bad, -2.0)]


def test_edited_factors_write_nothing_along_the_direction_and_all_else_as_before() -> None:
    one, two = adds(WIDTH, OTHER)
    found = edit_factors(adapter("a", down0=one, up1=two, down2=two), {0: UNIT, 1: UNIT})
    torch.testing.assert_close(matrix(found.factors[DOWN]), OFF.double() @ matrix(one), atol=1e-6, rtol=1e-5)
    assert found.left == (UP,) and found.factors[UP] is two and set(found.along) == {0}
    assert torch.equal(found.factors["model.layers.2.mlp.down_proj"].b, two.b)
    share = float((UNIT.double() @ one.b.double()).square().sum() / one.b.double().square().sum())
    assert found.along[0].share == pytest.approx(share, rel=1e-5)


def test_scaled_factors_are_times_their_layers_factor_and_the_others() -> None:
    one, two = adds(WIDTH, OTHER)
    held = adapter("a", down0=one, up1=two)
    found = scale_factors(held, {0: -2.0}, 0.5)
    assert {path: part.scaling for path, part in found.items()} == {DOWN: -2 * one.scaling, UP: 0.5 * two.scaling}
    assert set(scale_factors(held, {0: 0.0})) == {UP}
    outside = Adapter("x", Path("x"), SimpleNamespace(), {"lm_head": one, DOWN: two}, "")
    assert scale_factors(outside, {0: 1.0}, 3.0)["lm_head"].scaling == 3 * one.scaling
