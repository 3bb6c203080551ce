"""A number that is none stops the run, and the error names layer, number format and cause."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.families import EOS, LAYERS, VOCABULARY, WIDTH, build, network, prompt, shared, vector, words

from misdirection.engine import (
    Ablate,
    Arm,
    Intervention,
    PatchAdapter,
    Prompt,
    Row,
    SamplingConfig,
    ScaleAdapter,
    Set,
    Steer,
    Text,
    capture_means,
    capture_projections,
    capture_scalars,
    compare,
    log_likelihoods,
    sample,
)
from misdirection.engine.capture import CaptureError, visit_states
from misdirection.engine.continuations import continuation_chances
from misdirection.engine.finite import NotFiniteError
from misdirection.engine.program import InterventionError, Program
from misdirection.engine.splice import next_token_losses
from misdirection.models import Model, wrap

BASE = Arm("base")
NAN, INF = float("nan"), float("inf")


def damaged(layer: int = 2, value: float = NAN) -> Model:
    lm: Any = network("llama")
    lm.model.layers[layer].mlp.down_proj.weight.data[3, 5] = value
    return wrap(lm, words(), "x")


def half(family: str = "llama", scale: float = 1.0, layer: int = 2) -> Model:
    """In float16; a layer's MLP output beyond its range where `scale` is large."""
    lm: Any = network(family)
    lm.model.layers[layer].mlp.down_proj.weight.data *= scale
    return wrap(lm.half(), words(), "x")


def texts(arm: Arm = BASE) -> list[Text]:
    return [Text(prompt(n, 7 + n), {"answer": (3, 7)}, arm, 3) for n in range(3)]


def rows(arm: Arm = BASE, count: int = 3) -> list[Row]:
    return [Row(Prompt("q", prompt(1, 6)), arm, number) for number in range(count)]


READERS: dict[str, Callable[[Model, Arm], Any]] = {
    "sampling": lambda model, arm: sample(model, rows(arm), SamplingConfig(4)),
    "greedy": lambda model, arm: sample(model, rows(arm), SamplingConfig(4, temperature=0)),
    "means": lambda model, arm: capture_means(model, texts(arm), torch.ones(3, 1)),
    "projections": lambda model, arm: capture_projections(model, texts(arm), {3: vector(1)}),
    "states": lambda model, arm: visit_states(model, texts(arm), 3, "answer", lambda *_: None),
    "likelihood": lambda model, arm: log_likelihoods(model, texts(arm)),
    "divergence": lambda model, arm: compare((model, arm), (model, arm), texts()),
    "continuations": lambda model, _: list(continuation_chances(model, [prompt(1, 5)], [(4,), (4, 5)])),
}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_weights_are_named_whatever_is_read(reader: str) -> None:
    model = damaged()
    with pytest.raises(NotFiniteError, match=r"float32, arm 'base': layer 2 .*layers\.2\.mlp\.down_proj\.weight holds"):
        READERS[reader](model, BASE)
    assert not model.layers[2]._forward_hooks


@pytest.mark.parametrize("reader", READERS)
def test_an_overflow_of_float16_is_named_with_what_to_try(reader: str) -> None:
    model = half(scale=1e6)
    # Weights that are finite themselves, and whose products are not.
    model.lm.model.layers[2].mlp.down_proj.weight.data.clamp_(-6e4, 6e4)  # pyright: ignore
    with pytest.raises(NotFiniteError, match=r"in float16, arm 'base': layer 2 is the first\n.*bfloat16.*float32"):
        READERS[reader](model, BASE)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "continuations"])
def test_a_coefficient_that_overflows_names_its_arm(reader: str) -> None:
    arm = Arm("steered", None, (Steer(torch.ones(WIDTH), (1, 2), 6e4),))
    with pytest.raises(NotFiniteError, match=r"'steered': layer 2 .*without the arm's.*\n.*smaller coeff"):
        READERS[reader](half(), arm)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "continuations"])
def test_an_adapter_whose_weights_are_none_is_named(reader: str) -> None:
    model = build("llama")
    path = next(iter(model.lora["one"]))
    model.lora["one"][path].get_submodule("lora_B.one").weight.data[0, 0] = NAN  # pyright: ignore
    READERS[reader](model, BASE)
    READERS[reader](model, Arm("other", "all"))
    with pytest.raises(NotFiniteError, match=r"without the adapter 'one' .* its weight .*lora_B\.one"):
        READERS[reader](model, Arm("tuned", "one"))


def test_scalars_of_an_adapter_are_checked() -> None:
    model = build("llama")
    path = next(iter(model.lora["one"]))
    model.lora["one"][path].get_submodule("lora_A.one").weight.data[0, 0] = NAN  # pyright: ignore
    with pytest.raises(NotFiniteError, match="scalars of the adapter"):
        capture_scalars(model, texts(Arm("tuned", "one")), "one")


def test_embedding_and_head_are_named() -> None:
    lm: Any = network("llama")
    lm.model.embed_tokens.weight.data[prompt(1, 6)[2]] = INF
    with pytest.raises(NotFiniteError, match="the token embeddings are the first"):
        sample(wrap(lm, words(), "x"), rows())
    lm = network("llama")
    lm.lm_head.weight.data[7] = NAN
    with pytest.raises(NotFiniteError, match=r"the final norm or the unembedding.*lm_head\.weight"):
        sample(wrap(lm, words(), "x"), rows())


def with_logits(change: Callable[[torch.Tensor], torch.Tensor]) -> Model:
    lm: Any = network("llama")
    lm.get_output_embeddings().register_forward_hook(lambda _module, _inputs, logits: change(logits))
    return wrap(lm, words(), "x")


def test_tokens_that_a_model_bans_are_no_fault() -> None:
    mask = torch.zeros(VOCABULARY).index_fill(0, torch.tensor([*range(20), 63]), -INF)
    model = with_logits(lambda logits: logits + mask)
    for temperature in (0.0, 1.0):
        for found in sample(model, rows(), SamplingConfig(5, temperature=temperature)):
            assert found.ids
            assert set(found.ids).isdisjoint([*range(20), 63])
    text = Text((4, 5, 6, 30, 31, 63), {}, BASE, 3)
    assert log_likelihoods(model, [text])[0].isfinite().tolist() == [True, True, False]
    found = compare((model, BASE), (model, BASE), [text])[0]
    assert found.divergence.tolist() == [0, 0, 0]
    assert next(continuation_chances(model, [prompt(1, 5)], [(4,), (30,)]))[1][0] == 0


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_row_of_nothing_is_one(value: float) -> None:
    def change(logits: torch.Tensor) -> torch.Tensor:
        return torch.full_like(logits, value) if value < 0 else logits.index_fill(-1, torch.tensor([9]), value)

    for temperature in (0.0, 1.0):
        with pytest.raises(NotFiniteError, match="logits of x"):
            sample(with_logits(change), rows(), SamplingConfig(3, temperature=temperature))
    with pytest.raises(NotFiniteError, match="log-likelihoods of x"):
        log_likelihoods(with_logits(change), texts())


def test_a_fault_of_one_arm_is_told_for_that_arm_among_others() -> None:
    model = half()
    bad = Arm("bad", None, (Steer(torch.ones(WIDTH), (1, 2), 6e4),))
    mixed = [row for n in range(3) for row in (rows()[n], rows(Arm("mild", None, (Steer(vector(1), (1,), 1.0),)))[n])]
    assert len(sample(model, mixed, SamplingConfig(3))) == 6
    with pytest.raises(NotFiniteError, match="arm 'bad'"):
        sample(model, [*mixed, *rows(bad)], SamplingConfig(3))


def test_an_answer_that_has_ended_may_go_on_to_nothing() -> None:
    """A finished row stays in its batch until others leave; what its next logits are is nobody's matter."""
    step = 0

    def change(logits: torch.Tensor) -> torch.Tensor:
        nonlocal step
        step += 1
        logits = torch.full_like(logits, 0.0).index_fill(-1, torch.tensor([20]), 50.0)
        if step == 1:  # one prompt for all: the first row ends at once where its prompt asks for it
            logits[0] = 0.0
            logits[0, :, EOS[0]] = 50.0
        elif len(logits) == 5:
            logits[0] = NAN
        return logits

    queue = [Row(Prompt(str(n), prompt(n, 6)), BASE) for n in range(5)]
    found = sample(with_logits(change), queue, SamplingConfig(3, temperature=0))
    assert sorted(len(answer.ids) for answer in found) == [0, 3, 3, 3, 3]


def test_what_does_not_count_may_overflow() -> None:
    """Padding, and tokens of no span: 0 times infinity is none."""
    model = wrap(network("llama"), words(), "x")
    mixed = [Text(prompt(1, 5), {"answer": (2, 5)}, BASE), Text(prompt(2, 9), {"answer": (2, 5)}, BASE)]
    wanted = capture_means(model, mixed, torch.ones(2, 1))
    where = torch.tensor([0, 1, 5, 6, 7, 8])
    model.layers[3].register_forward_hook(lambda _module, _inputs, x: x.index_fill(1, where, INF))
    found = capture_means(model, mixed, torch.ones(2, 1))
    assert torch.allclose(found.sums, wanted.sums, atol=1e-6)
    with pytest.raises(NotFiniteError, match="layer 3"):
        capture_means(model, [Text(prompt(2, 9), {"answer": (2, 6)}, BASE)], torch.ones(1, 1))


def test_an_edit_that_gives_nothing_is_named() -> None:
    spans = [Text(prompt(1, 8), {"all": (0, 8)}, BASE)]
    with pytest.raises(NotFiniteError, match="edit 'empty' of layer 1"):
        next_token_losses(shared("llama"), spans, 1, "all", {"clean": None, "empty": lambda x: x * NAN})
    with pytest.raises(NotFiniteError, match="not numbers"):
        next_token_losses(damaged(), spans, 1, "all", {"clean": None})


@pytest.mark.parametrize(
    "item",
    [
        Steer(vector(1).index_fill(0, torch.tensor([3]), NAN), (1,), 0.0),
        Steer(vector(1), (1,), NAN),
        Steer(vector(1), (1,), -INF),
        Ablate(vector(1) * INF, (1,)),
        Set(vector(1), (1,), NAN),
        Set(vector(1), (1,), torch.full((LAYERS,), INF)),
        ScaleAdapter({1: NAN}),
        ScaleAdapter({}, INF),
    ],
)
def test_an_intervention_that_is_no_number_is_refused_at_once(item: Intervention) -> None:
    with pytest.raises(InterventionError, match=r"arm 'x': .*none"):
        Program(shared("llama"), [Arm("x", "one", (item,))])


def test_a_direction_may_hold_nothing_at_layers_that_are_not_used() -> None:
    many = vector(1, LAYERS, WIDTH)
    many[0] = NAN
    Program(shared("llama"), [Arm("x", None, (Steer(many, (1, 2), 1.0), Ablate(many, (3,))))])
    values = torch.tensor([NAN, 1.0, 1.0, 1.0])
    Program(shared("llama"), [Arm("x", None, (Set(vector(1), (1, 2), values),))])


def test_scalars_and_directions_that_are_no_numbers_are_refused() -> None:
    model = shared("llama")
    path = next(iter(model.lora["one"]))
    with pytest.raises(InterventionError, match="scalars hold numbers that are none"):
        Program(model, [Arm("x", "one", (PatchAdapter({path: torch.full((3, 1), NAN)}),))])
    with pytest.raises(CaptureError, match="direction at layer 2"):
        capture_projections(model, texts(), {2: vector(1) * NAN})


def test_a_coefficient_beyond_the_format_is_refused_at_once() -> None:
    big = Arm("big", None, (Steer(torch.ones(WIDTH), (1,), 1e5),))
    with pytest.raises(InterventionError, match=r"arm 'big' moves .* 1e\+05, and torch.float16 ends at 6.55e\+04"):
        Program(half(), [big])
    Program(shared("llama"), [big])
    assert math.isfinite(float(log_likelihoods(shared("llama"), texts(big))[0][0]))
