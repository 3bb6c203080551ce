"""A condition is data, and becomes the engine's arm as soon as the directions are there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from misdirection.conditions import Along, Condition, Held, Operation, Scaled, compiled, vectors_along
from misdirection.directions import Direction, random_like
from misdirection.engine import Cap, Clamp, ScaleAdapter, Steer
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary

LAYERS, WIDTH = 3, 8


def direction(seed: int = 0) -> Direction:
    vectors = torch.randn(LAYERS, WIDTH, generator=torch.Generator().manual_seed(seed))
    ones = torch.ones(LAYERS)
    return Direction(vectors, vectors - 1, 2 * vectors - 1, ones, ones, ones, ones)


def latents() -> Dictionary:
    return Dictionary(torch.eye(WIDTH), torch.eye(WIDTH), torch.zeros(WIDTH), torch.zeros(WIDTH), layer=1)


def test_what_is_done_keeps_its_order_and_its_numbers() -> None:
    one, other = direction(0), direction(1)
    does = (
        Scaled(((0, 2.0),), 0.5),
        Along("steer", (2,), 1.5, source="b"),
        Along("cap", thresholds=(0.0, 1.0, 2.0), single=1, source="a"),
        Held(latents(), (3, 4), 0.25),
    )
    condition = Condition("x", "all at once", "tuned", does)
    scale, steer, cap, clamp = compiled(condition, "tuned", {"a": one, "b": other}).interventions
    assert isinstance(scale, ScaleAdapter) and scale.factors == {0: 2.0} and scale.others == 0.5
    assert isinstance(steer, Steer) and steer.layers == (2,) and steer.coefficient == 1.5
    assert torch.equal(steer.direction, other.vectors)
    assert isinstance(cap, Cap) and cap.layers == (0, 1, 2) and cap.thresholds == {0: 0.0, 1: 1.0, 2: 2.0}
    assert torch.equal(cap.direction, one.vectors[1].expand(LAYERS, WIDTH))
    assert isinstance(clamp, Clamp) and clamp.latents == (3, 4) and clamp.layers == (1,)
    assert torch.as_tensor(clamp.value).tolist() == [0.25, 0.25]
    assert condition.along is does[1] and condition.scaled is does[0]
    plain = Condition("y", "as it is", "base")
    assert compiled(plain, None).interventions == () and plain.along is None and plain.scaled is None


@pytest.mark.parametrize("operation", ["steer", "project", "set", "cap"])
def test_an_operation_acts_at_the_positions_that_it_names(operation: Operation) -> None:
    def done(**more: Any) -> Any:
        along = Along(operation, coefficient=1.0, thresholds=(0.0, 1.0, 2.0), **more)
        return compiled(Condition("x", "x", "base", (along,)), None, direction()).interventions[0]

    assert done().positions == "all" and done(positions="answer").positions == "answer"


def test_a_steering_at_one_layer_is_a_point() -> None:
    assert Condition("x", "x", "base", (Along("steer", (2,), -1.5),)).point == (2, -1.5)


def test_a_latent_may_be_held_behind_another_layer() -> None:
    (clamp,) = compiled(Condition("x", "x", "base", (Held(latents(), (0,), layer=2),)), None).interventions
    assert isinstance(clamp, Clamp) and clamp.layers == (2,)


def test_a_random_direction_is_as_long_as_what_it_stands_for() -> None:
    found = vectors_along(Along("project", single=1, random_seed=4), direction())
    assert torch.equal(found, random_like(direction().vectors[1].expand(LAYERS, WIDTH), 4))
    assert found.norm(dim=-1).tolist() == pytest.approx([float(direction().vectors[1].norm())] * LAYERS, rel=1e-5)


def test_what_cannot_be_is_refused() -> None:
    for operation, said in (("steer", "needs coefficient"), ("cap", "needs thresholds"), ("erase", "no operation")):
        with pytest.raises(MisdirectionError, match=said):
            Along(operation)  # type: ignore[arg-type]
    cases: list[tuple[Along | Scaled, str]] = [
        (Along("project", (5,)), "there is no layer 5"),
        (Along("project", single=3), "there is no layer 3"),
        (Along("project", source="a"), "needs a direction called 'a'"),
        (Along("cap", thresholds=(1.0,)), "thresholds of 1 layers for a direction of 3"),
        (Scaled(others=0.0), "'x' scales an adapter, and 'base' has none"),
    ]
    for done, said in cases:
        held = {"b": direction()} if isinstance(done, Along) and done.source else direction()
        with pytest.raises(MisdirectionError, match=said):
            compiled(Condition("x", "x", "base", (done,)), None, held)
    with pytest.raises(MisdirectionError, match=r"'x' needs a direction$"):
        compiled(Condition("x", "x", "base", (Along("set"),)), None)


def test_an_adapter_at_its_own_strength_is_left_alone_and_a_whole_model_has_none() -> None:
    assert compiled(Condition("x", "x", "tuned", (Scaled(),)), None).interventions == ()
    assert (
        compiled(Condition("x", "x", "tuned", (Scaled(others=1.0), Scaled(((1, 1.0),)))), "tuned").interventions != ()
    )
