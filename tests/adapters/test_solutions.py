"""Fine-tunes as points: lengths, exchange and return of weights, and the three measures against plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.families import LAYERS, WIDTH, build, network, prompt, vector

from misdirection.adapters.ease import (
    Nats,
    degradation,
    difference,
    divergence,
    interval,
    loss,
    moved_aside,
    of_length,
    random_theta,
)
from misdirection.adapters.solutions import Solution, adapter_solution, vector_solution, weight_cosine
from misdirection.adapters.weights import AdapterError, pairs_of
from misdirection.engine import Arm, ScaleAdapter, Text, log_likelihoods
from misdirection.models import Model

TEXTS = [Text(prompt(seed, 6 + seed), {}, Arm("base"), 2 + seed % 3) for seed in range(5)]


@pytest.fixture(scope="module")
def model() -> Model:
    return build("llama")


def under(model: Model, arm: Arm) -> torch.Tensor:
    return torch.cat(log_likelihoods(model, [replace(text, arm=arm) for text in TEXTS]))


@pytest.mark.parametrize("adapter", ["one", "all"])
def test_theta_is_as_long_as_the_change_of_the_weights(model: Model, adapter: str) -> None:
    dense = [pair.scaling * pair.b.double() @ pair.a.double() for pair in pairs_of(model, adapter)]
    expected = math.sqrt(sum(float(change.square().sum()) for change in dense))
    assert adapter_solution("s", model, adapter).norm == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("adapter", ["one", "all"])
def test_theta_in_place_does_what_the_adapter_does_at_any_length(model: Model, adapter: str) -> None:
    solution = adapter_solution("s", model, adapter)
    before = {name: value.clone() for name, value in model.lm.named_parameters()}
    for factor, arm in ((1.0, Arm("a", adapter)), (2.0, Arm("b", adapter, (ScaleAdapter({}, 2.0),))), (0.0, Arm("c"))):
        with solution.at(factor * solution.theta) as placed:
            moved = under(model, placed)
        assert torch.allclose(moved, under(model, arm), atol=2e-4)
    assert all(torch.equal(before[name], value) for name, value in model.lm.named_parameters())
    with pytest.raises(RuntimeError), solution.at(solution.theta[:-1]):
        pass
    assert all(torch.equal(before[name], value) for name, value in model.lm.named_parameters())


def test_how_the_product_is_split_does_not_matter(model: Model) -> None:
    """B M and M^-1 A are the same adapter: the same length, and the same loss when it is halved."""
    other = build("llama")
    torch.manual_seed(3)
    for held in other.lora["all"].values():
        module: Any = held
        turn = torch.eye(32) + 0.1 * torch.randn(32, 32)
        a, b = module.lora_A["all"].weight, module.lora_B["all"].weight
        with torch.no_grad():
            a.copy_(torch.linalg.inv(turn) @ a)
            b.copy_(b @ turn)
    one, two = (adapter_solution("s", m, "all") for m in (model, other))
    assert one.norm == pytest.approx(two.norm, rel=1e-4)
    halves = [loss(s, s.theta / 2, TEXTS).mean for s in (one, two)]
    assert halves[0] == pytest.approx(halves[1], abs=1e-4)


def test_cosine_of_weight_changes_is_that_of_the_dense_ones(model: Model) -> None:
    dense = {
        name: {p.path: p.scaling * p.b.double() @ p.a.double() for p in pairs_of(model, name)}
        for name in ("one", "all")
    }
    along = sum(float((dense["one"][path] * dense["all"][path]).sum()) for path in dense["one"])
    lengths = [math.sqrt(sum(float(d.square().sum()) for d in side.values())) for side in dense.values()]
    assert weight_cosine(model, "one", "all") == pytest.approx(along / (lengths[0] * lengths[1]), abs=1e-9)
    assert weight_cosine(model, "all", "all") == pytest.approx(1.0)
    with pytest.raises(AdapterError, match="no adapter"):
        adapter_solution("s", model, "none")


def test_moved_aside_keeps_the_length_and_turns_by_the_distance() -> None:
    theta = vector(1, 50).double() * 3
    for epsilon in (0.0, 0.3, 1.0):
        moved = moved_aside(theta, epsilon, seed=4)
        assert float(moved.norm()) == pytest.approx(float(theta.norm()))
        assert float(moved @ theta / theta.norm() ** 2) == pytest.approx(math.sqrt(1 - epsilon**2), abs=1e-12)
    assert not torch.allclose(moved_aside(theta, 0.5, 1), moved_aside(theta, 0.5, 2))
    assert float(random_theta(theta, 1).norm()) == pytest.approx(float(theta.norm()))
    assert float(of_length(theta, 2.0).norm()) == pytest.approx(2.0) and not of_length(0 * theta, 1.0).any()


def test_degradation_in_percent_of_what_was_learned() -> None:
    assert degradation(0.6, 0.6, 1.0) == 0
    assert degradation(1.0, 0.6, 1.0) == pytest.approx(100)
    assert degradation(0.7, 0.6, 1.0) == pytest.approx(25)


def test_loss_and_divergence_of_a_vector_equal_a_plain_loop() -> None:
    model = build("llama")
    steer = vector_solution("v", model, vector(2), 1)
    lm: Any = network("llama")
    added = {"vector": torch.zeros(WIDTH)}
    lm.model.layers[1].register_forward_hook(lambda _m, _i, x: x + added["vector"])

    def chances(text: Text, moved: bool) -> torch.Tensor:
        added["vector"] = vector(2) * 0.5 if moved else torch.zeros(WIDTH)
        with torch.no_grad():
            return torch.log_softmax(lm(input_ids=torch.tensor([text.ids])).logits[0].double(), -1)

    nll = kl = back = count = 0.0
    for text in TEXTS:
        base, moved = chances(text, False), chances(text, True)
        for at in range(text.start, len(text.ids)):
            nll -= float(moved[at - 1, text.ids[at]])
            kl += float((moved[at - 1].exp() * (moved[at - 1] - base[at - 1])).sum())
            back += float((base[at - 1].exp() * (base[at - 1] - moved[at - 1])).sum())
            count += 1
    assert loss(steer, steer.theta / 2, TEXTS).mean == pytest.approx(nll / count, rel=1e-4)
    assert divergence(steer, steer.theta / 2, TEXTS).mean == pytest.approx(kl / count, rel=1e-3)
    assert divergence(steer, steer.theta / 2, TEXTS, "moved").mean == pytest.approx(back / count, rel=1e-3)
    assert divergence(steer, 0 * steer.theta, TEXTS).mean == pytest.approx(0.0, abs=1e-6)
    assert isinstance(steer, Solution) and steer.theta.shape == (WIDTH,) and LAYERS > 1


def test_intervals_are_paired_and_token_weighted() -> None:
    one = Nats(*torch.tensor([[1.0, 4.0, 9.0], [1.0, 2.0, 3.0]], dtype=torch.float64))
    other = Nats(one.sums - 0.5 * one.tokens, one.tokens)
    assert interval(one).value == pytest.approx(14 / 6) and interval(one).low < 14 / 6 < interval(one).high
    moved = difference(one, other)
    # Every text differs by the same half nat a token, so no resample can differ.
    assert (moved.value, moved.low, moved.high) == pytest.approx((0.5, 0.5, 0.5)) and moved.n == 3
