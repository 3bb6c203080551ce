from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.engine import reference
from tests.engine.arms import Positions, mixture, recorded
from tests.families import FAMILIES, LAYERS, WIDTH, build, network, prompt, shared, vector, words
from torch import Tensor, nn

from misdirection.engine import (
    Ablate,
    Arm,
    PatchAdapter,
    Prompt,
    Row,
    SamplingConfig,
    ScaleAdapter,
    Set,
    Steer,
    Text,
    capture_projections,
    capture_scalars,
    reading,
    sample,
)
from misdirection.engine.program import InterventionError, Program
from misdirection.models import Model, wrap

EYE = dict.fromkeys(range(LAYERS), torch.eye(WIDTH))


def text(arm: Arm, seed: int = 0, length: int = 20, start: int = 12) -> Text:
    return Text(prompt(seed, length), {}, arm, start)


def residual(model: Model, texts: list[Text], budget: int | None = None) -> list[list[Tensor]]:
    """The residual stream of every text after every layer, by projecting on the unit vectors."""
    return [
        [states[layer] for layer in range(LAYERS)] for states in capture_projections(model, texts, EYE, budget=budget)
    ]


def same(one: list[list[Tensor]], other: list[list[Tensor]]) -> bool:
    return all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_residual_streams_equal_the_slow_reference(family: str) -> None:
    model = shared(family)
    texts = [text(arm, n, 14 + n % 9, 6 + n % 5) for n, arm in enumerate(mixture(model))]
    for read, found in zip(texts, residual(model, texts), strict=True):
        _, wanted = reference.forward(model, read.ids, read.arm, read.start)
        for layer in range(LAYERS):
            torch.testing.assert_close(
                found[layer], wanted[layer], rtol=1e-3, atol=1e-3, msg=f"{read.arm.name}, {layer}"
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_ablate_leaves_nothing_along_the_direction_at_any_token(family: str) -> None:
    model, direction = shared(family), vector(5)
    ablated = Arm("ablated", "one", (Ablate(direction * 40, tuple(range(LAYERS))),))
    unit = direction / direction.norm()
    before = residual(model, [text(Arm("plain", "one"))])[0]
    for kept, states in zip(before, residual(model, [text(ablated)])[0], strict=True):
        assert ((kept @ unit).abs() > 1e-3 * kept.norm(dim=-1)).any()
        assert ((states @ unit).abs() < 1e-5 * states.norm(dim=-1)).all()


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt-neox"])
def test_ablate_and_set_hold_at_every_cached_step(family: str) -> None:
    model, direction = shared(family), vector(5)
    unit = direction / direction.norm()
    arms = {"ablate": (Ablate(direction, (0, 2)), 0.0), "set": (Set(direction, (0, 2), 4.0), 4.0)}
    for item, value in arms.values():
        seen: list[Tensor] = []
        # The next layer's input is what stands after this layer's interventions.
        handle = model.layers[1].register_forward_pre_hook(lambda _m, args, seen=seen: seen.append(args[0].clone()))
        rows = [Row(Prompt("q", prompt(n, 3 + 5 * n)), Arm("x", None, (item,)), n) for n in range(3)]
        sample(model, rows, SamplingConfig(6, seed=1))
        handle.remove()
        assert len(seen) > 3
        for states in seen:
            torch.testing.assert_close(states @ unit, torch.full(states.shape[:2], value), atol=2e-5, rtol=0)


def test_set_leaves_exactly_the_value_of_each_layer() -> None:
    model, directions, values = shared("llama"), vector(6, LAYERS, WIDTH), torch.tensor([0.5, -3.0, 0.0, 7.0])
    states = residual(model, [text(Arm("set", None, (Set(directions, (0, 1, 2, 3), values),)))])[0]
    for layer in range(LAYERS):
        unit = directions[layer] / directions[layer].norm()
        torch.testing.assert_close(states[layer] @ unit, values[layer].expand(20), atol=2e-5, rtol=0)


def test_each_position_touches_only_its_tokens() -> None:
    model = shared("gpt-neo")
    plain = residual(model, [text(Arm("base"))])[0][1]
    touched: dict[Positions, range] = {"all": range(20), "prompt": range(12), "answer": range(11, 20)}
    for positions, tokens in touched.items():
        moved = residual(model, [text(Arm("x", None, (Steer(vector(1), (1,), 2.0, positions),)))])[0][1]
        difference = moved - plain
        wanted = torch.zeros(20, WIDTH)
        wanted[list(tokens)] = 2.0 * vector(1)
        torch.testing.assert_close(difference, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_zero_coefficient_and_a_zero_vector_are_the_identity_bit_for_bit(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared(family)
    every = tuple(range(LAYERS))
    plain = residual(model, [text(Arm("base"))])
    zeros = [
        Arm("coefficient", None, (Steer(vector(1), every, 0.0),)),
        Arm("vector", None, (Steer(torch.zeros(WIDTH), every, 3.0, "answer"),)),
        Arm("no layers", None, (Ablate(vector(1), ()),)),
    ]
    for arm in zeros:
        assert same(residual(model, [text(arm)]), plain), arm.name
    # Beside rows that are steered, ablated and adapted, a row without intervention keeps its bits too: in passes of the
    # same shapes, so nothing that texts begin with runs apart.
    others = [arm for arm in mixture(model) if arm.name not in ("base", "zero")]
    monkeypatch.setattr(reading, "can_go_on", lambda _model: False)
    alone = residual(model, [text(Arm("base")) for _ in range(len(others) + 3)])
    mixed = residual(model, [text(arm) for arm in (*zeros, *others)])
    assert (close if family == "gpt-oss" else same)(mixed[:3], alone[:3])
    assert not any(same([mixed[3 + n]], [alone[0]]) for n in range(len(others)))


def test_interventions_of_an_arm_are_applied_in_their_order() -> None:
    model, v = shared("qwen2"), vector(1)
    unit = v / v.norm()
    one = Arm("steer, set", None, (Steer(v, (1,), 2.0), Set(v, (1,), 1.0)))
    other = Arm("set, steer", None, (Set(v, (1,), 1.0), Steer(v, (1,), 2.0)))
    first, second = residual(model, [text(one), text(other)])
    torch.testing.assert_close(first[1] @ unit, torch.full((20,), 1.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(second[1] @ unit, torch.full((20,), 1.0) + 2 * v.norm(), atol=1e-5, rtol=0)


def test_a_direction_per_layer_is_the_same_as_one_steer_per_layer() -> None:
    model, many = shared("olmo2"), vector(3, LAYERS, WIDTH)
    whole = Arm("whole", None, (Steer(many, (0, 2, 3), 1.5),))
    parts = Arm("parts", None, tuple(Steer(many[layer], (layer,), 1.5) for layer in (3, 0, 2)))
    assert same(residual(model, [text(whole)]), residual(model, [text(parts)]))


def test_a_direction_of_no_length_cannot_be_projected_on() -> None:
    for item in (Ablate(torch.zeros(WIDTH), (1,)), Set(torch.zeros(WIDTH), (1,), 1.0)):
        with pytest.raises(InterventionError, match="layer 1 has no length"):
            Program(shared("qwen2"), [Arm("x", None, (item,))])


# Adapters


@pytest.mark.parametrize("family", FAMILIES)
def test_factor_zero_is_the_base_model_and_factor_one_is_pefts_forward_bit_for_bit(family: str) -> None:
    model = build(family)
    bare = wrap(network(family), words(), family)
    base = Arm("base")
    wanted = residual(bare, [text(base)] * 3)
    assert same(residual(model, [text(base)] * 3), wanted)
    for adapter in model.adapters:
        tuned, off = Arm("tuned", adapter), Arm("off", adapter, (ScaleAdapter({}, 0.0),))
        assert same(residual(model, [text(off)] * 3), wanted)
        own = pefts_own(model, adapter, [text(base).ids] * 3)
        assert same(residual(model, [text(tuned)] * 3), own)
        assert not torch.allclose(own[0][-1], wanted[0][-1], atol=1e-2)
        # Experts gather their tokens over the whole batch, so that a mixture's sums round differently.
        equal = close if family == "gpt-oss" else same
        assert equal(residual(model, [text(base), text(tuned), text(off)]), [wanted[0], own[1], wanted[2]])


def close(one: list[list[Tensor]], other: list[list[Tensor]]) -> bool:
    pairs = [(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in pairs)


def pefts_own(model: Model, adapter: str, ids: list[tuple[int, ...]]) -> list[list[Tensor]]:
    """The residual streams of a plain forward pass through PEFT's wrapper."""
    states: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    handles = [layer.register_forward_hook(keep) for layer in model.layers]
    model.peft.base_model.set_adapter(adapter, inference_mode=True)
    with torch.no_grad():
        model.peft(input_ids=torch.tensor(ids), use_cache=False)
    for handle in handles:
        handle.remove()
    return [[state[row] for state in states] for row in range(len(ids))]


def test_scale_adapter_equals_pefts_scaling() -> None:
    model = build("mistral")
    arm = Arm("scaled", "all", (ScaleAdapter({1: 3.0, 2: -1.0}, others=0.25),))
    found = residual(model, [text(arm)])[0]
    for path, module in model.lora["all"].items():
        module.set_scale("all", {1: 3.0, 2: -1.0}.get(reference.layer_number(path), 0.25))
    scaled = residual(model, [text(Arm("tuned", "all"))])[0]
    for layer in range(LAYERS):
        torch.testing.assert_close(found[layer], scaled[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_replaying_its_own_scalars_is_the_identity(family: str) -> None:
    model = shared(family)
    for adapter in model.adapters:
        tuned = Arm("tuned", adapter)
        scalars = capture_scalars(model, [text(tuned)], adapter)[0]
        replay = Arm("replay", adapter, (PatchAdapter(scalars),))
        assert same(residual(model, [text(replay)]), residual(model, [text(tuned)]))
        other = Arm("other", adapter, (recorded(model, adapter, 20),))
        assert not torch.allclose(
            residual(model, [text(other)])[0][-1], residual(model, [text(tuned)])[0][-1], atol=1e-2
        )


def test_replay_while_generating_puts_each_scalar_at_its_own_token() -> None:
    """Replaying the scalars of a rollout into the same rollout changes nothing, left padding and cache included."""
    model = shared("qwen2")
    tuned = Arm("tuned", "one")
    asks = [Prompt("a", prompt(1, 4)), Prompt("b", prompt(2, 15))]
    config = SamplingConfig(10, temperature=0)
    plain = sample(model, [Row(ask, tuned) for ask in asks], config)
    texts = [Text(ask.ids + answer.ids, {}, tuned, len(ask.ids)) for ask, answer in zip(asks, plain, strict=True)]
    arms = [
        Arm(ask.key, "one", (PatchAdapter(s),))
        for ask, s in zip(asks, capture_scalars(model, texts, "one"), strict=True)
    ]
    assert sample(model, [Row(ask, arm) for ask, arm in zip(asks, arms, strict=True)], config) == plain
    swapped = sample(model, [Row(ask, arm) for ask, arm in zip(asks, reversed(arms), strict=True)], config)
    assert swapped != plain


def test_replays_into_adapters_of_different_rank_share_a_batch() -> None:
    model = shared("qwen2")
    arms = [Arm(name, name, (recorded(model, name, 20),)) for name in ("one", "all")]
    together = residual(model, [text(arms[0]), text(arms[1]), text(Arm("tuned", "one"))])
    for arm, found in zip((*arms, Arm("tuned", "one")), together, strict=True):
        for one, other in zip(found, residual(model, [text(arm)])[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_errors_of_adapter_interventions() -> None:
    model = shared("qwen2")
    path = next(iter(model.lora["one"]))
    for arm, said in [
        (Arm("a", None, (ScaleAdapter({}),)), "'a' changes an adapter, and has none"),
        (Arm("b", "one", (PatchAdapter({"lm_head": torch.zeros(3, 1)}),)), "'b' replays scalars of lm_head"),
        (Arm("c", "one", (PatchAdapter({path: torch.zeros(3, 2)}),)), r"'c': scalars of shape \(3, 2\)"),
    ]:
        with pytest.raises(InterventionError, match=said):
            Program(model, [arm])


# What is left behind


def snapshot(model: Model) -> list[Any]:
    lora = {module for paths in model.lora.values() for module in paths.values()}
    return [
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.lm.modules()],
        {id(module): (list(module.active_adapters), module.disable_adapters) for module in lora},
        [parameter.requires_grad for parameter in model.lm.parameters()],
        [module.training for module in model.lm.modules()],
        {name: value.clone() for name, value in model.lm.state_dict().items()},
    ]


@contextmanager
def unchanged(model: Model) -> Iterator[None]:
    before = snapshot(model)
    yield
    after = snapshot(model)
    assert after[:4] == before[:4]
    assert all(torch.equal(before[4][name], value) for name, value in after[4].items())


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("state", ["loaded", "one on", "off", "training"])
def test_the_model_is_left_as_it_was_after_use_and_after_an_exception(state: str) -> None:
    model = build("qwen2")
    if state == "one on":
        model.peft.base_model.set_adapter("one", inference_mode=True)
    if state == "off":
        model.peft.base_model.disable_adapter_layers()
    if state == "training":
        model.peft.set_adapter("all")
        model.lm.train()
        assert any(parameter.requires_grad for parameter in model.lm.parameters())
    texts = [text(arm) for arm in mixture(model)]
    with unchanged(model):
        rows = [Row(Prompt("q", prompt(1, 5)), arm) for arm in mixture(model)]
        first = sample(model, rows, SamplingConfig(4))
        assert sample(model, rows, SamplingConfig(4)) == first, "dropout must be off"
        residual(model, texts, budget=50)

    def fail(*_: object) -> None:
        raise BrokenError

    with unchanged(model):
        handle = model.layers[2].register_forward_hook(fail)
        with pytest.raises(BrokenError):
            residual(model, texts)
        with pytest.raises(BrokenError):
            sample(model, rows, SamplingConfig(4))
        handle.remove()


def test_abandoning_a_stream_takes_the_hooks_away() -> None:
    from misdirection.engine.sampling import sample_stream

    model = shared("llama")
    with unchanged(model):
        rows = [Row(Prompt("q", prompt(n, 5)), arm) for n in range(3) for arm in mixture(model)]
        stream = sample_stream(model, rows, SamplingConfig(3, budget=16))
        next(stream)
        stream.close()


# Layers that return tuples


class Tupled(nn.Module):
    """A decoder layer of the older kind: it returns its output with something else behind it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        return self.inner(*args, **kwargs), None


def tupled(family: str) -> Model:
    """A model whose layers return tuples; the decoder gets the tensor only after every hook has seen the tuple."""
    model = build(family)
    call = nn.Module.__call__
    unpacking = type("Tupled", (Tupled,), {"__call__": lambda self, *args, **kwargs: call(self, *args, **kwargs)[0]})
    model.decoder.layers = nn.ModuleList(unpacking(layer) for layer in model.layers)
    return wrap(model.lm, model.tokenizer, family)


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_layers_that_return_tuples_give_the_same(family: str) -> None:
    plain, model = build(family), tupled(family)
    assert len(model.layers) == LAYERS
    assert isinstance(model.layers[0], Tupled)
    kinds: list[type] = []
    handle = model.layers[1].register_forward_hook(lambda _m, _i, out: kinds.append(type(out)))
    arms = [arm for arm in mixture(plain) if not arm.adapter]
    assert same(residual(model, [text(arm) for arm in arms]), residual(plain, [text(arm) for arm in arms]))
    rows = [Row(Prompt("q", prompt(n, 4 + n)), arm, n) for n, arm in enumerate(arms)]
    assert sample(model, rows, SamplingConfig(6)) == sample(plain, rows, SamplingConfig(6))
    handle.remove()
    assert set(kinds) == {tuple}
