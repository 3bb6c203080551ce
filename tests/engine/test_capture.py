from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.engine import reference
from tests.engine.arms import mixture
from tests.families import FAMILIES, LAYERS, WIDTH, WINDOW, prompt, shared, vector
from torch import Tensor

from misdirection.engine import (
    Ablate,
    Arm,
    ScaleAdapter,
    Steer,
    Text,
    capture_means,
    capture_projections,
    capture_scalars,
)
from misdirection.engine.capture import CaptureError, visit_states
from misdirection.models import Model

BASE = Arm("base")


def texts_of(arms: list[Arm], lengths: tuple[int, ...] = (9, 4 * WINDOW, 14, 5, 20)) -> list[Text]:
    found = []
    for n, length in enumerate(lengths):
        start = 2 + n % 3
        spans = {"answer": (start, length), "prompt": (0, start), "last": (start - 1, start), "none": (length, length)}
        found.append(Text(prompt(n, length), spans, arms[n % len(arms)], start))
    return found


def states_of(model: Model, text: Text) -> list[Tensor]:
    return [layer.double() for layer in reference.forward(model, text.ids, text.arm, text.start)[1]]


def slow_means(model: Model, texts: list[Text], weights: Tensor, span: str, weighting: str) -> Tensor:
    """Class means (classes, layers, width) by a loop over texts, layers and tokens."""
    total, count = (
        torch.zeros(weights.shape[1], LAYERS, WIDTH, dtype=torch.float64),
        torch.zeros(weights.shape[1]).double(),
    )
    for row, text in enumerate(texts):
        states = states_of(model, text)
        tokens = range(*text.spans[span])
        for token in tokens:
            share = weights[row].double() * (1 if weighting == "token" else 1 / len(tokens))
            count += share
            for layer in range(LAYERS):
                total[:, layer] += share[:, None] * states[layer][token]
    return total / count[:, None, None]


@pytest.mark.parametrize("weighting", ["token", "response"])
@pytest.mark.parametrize("family", FAMILIES)
def test_means_equal_a_loop_over_tokens(family: str, weighting: Any) -> None:
    model, texts = shared(family), texts_of([BASE])
    weights = torch.tensor([[1.0, 0.0, 0.3], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    found = capture_means(model, texts, weights, weighting=weighting)
    assert found.sums.dtype == found.counts.dtype == torch.float64
    assert found.sums.shape == (3, 4, LAYERS, WIDTH)
    for span in ("answer", "prompt", "last"):
        wanted = slow_means(model, texts, weights, span, weighting)
        torch.testing.assert_close(found.mean(span), wanted, rtol=1e-4, atol=1e-4)
    assert found.mean("none").isnan().all()
    assert not found.counts[:, found.spans.index("none")].any()


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gemma3-vision"])
def test_means_equal_the_hidden_states_of_transformers(family: str) -> None:
    model, texts = shared(family), texts_of([BASE])
    found = capture_means(model, texts, torch.ones(len(texts), 1))
    total = torch.zeros(LAYERS - 1, WIDTH, dtype=torch.float64)
    with torch.no_grad(), reference.adapters(model, BASE):
        for text in texts:
            output = model.lm(input_ids=torch.tensor([text.ids]), output_hidden_states=True, use_cache=False)
            # Entry 0 is the embedding; the last one stands behind the final norm, so it is no layer's output.
            for layer in range(LAYERS - 1):
                total[layer] += output.hidden_states[layer + 1][0, slice(*text.spans["answer"])].double().sum(0)
    torch.testing.assert_close(found.sums[0, 0, : LAYERS - 1], total, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_means_under_interventions_and_adapters_equal_the_loop(family: str) -> None:
    model = shared(family)
    arms = mixture(model)
    texts = texts_of(arms, tuple(8 + n % 13 for n in range(len(arms))))
    weights = torch.eye(len(arms))  # a class for every arm
    found = capture_means(model, texts, weights).mean("answer")
    wanted = slow_means(model, texts, weights, "answer", "token")
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_counts_are_tokens_or_responses_by_class() -> None:
    texts, weights = texts_of([BASE]), torch.tensor([[1.0, 0], [1, 0], [1, 1], [0, 1], [0.5, 1]])
    lengths = torch.tensor([[stop - start for start, stop in text.spans.values()] for text in texts]).double()
    tokens = capture_means(shared("llama"), texts, weights)
    torch.testing.assert_close(tokens.counts, weights.double().T @ lengths)
    responses = capture_means(shared("llama"), texts, weights, weighting="response")
    torch.testing.assert_close(responses.counts, weights.double().T @ (lengths > 0).double(), rtol=1e-6, atol=0)


def test_many_columns_at_once_equal_one_at_a_time() -> None:
    model, texts = shared("qwen2"), texts_of([BASE])
    weights = torch.rand(len(texts), 40, generator=torch.Generator().manual_seed(0))
    whole = capture_means(model, texts, weights)
    for column in (0, 17, 39):
        alone = capture_means(model, texts, weights[:, column : column + 1])
        torch.testing.assert_close(whole.sums[column], alone.sums[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(whole.counts[column], alone.counts[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("family", ["qwen2-window", "gpt-oss", "gpt-neo"])
def test_neither_budget_nor_padding_nor_order_changes_the_means(family: str) -> None:
    model = shared(family)
    texts = texts_of(mixture(model)[:5])
    weights = torch.rand(len(texts), 2, generator=torch.Generator().manual_seed(0))
    wanted = capture_means(model, texts, weights)
    for budget in (1, 30, 55, 10_000):
        found = capture_means(model, texts, weights, budget=budget)
        torch.testing.assert_close(found.sums, wanted.sums, rtol=1e-5, atol=1e-4)
        assert torch.equal(found.counts, wanted.counts) or torch.allclose(found.counts, wanted.counts, rtol=1e-12)
    back = capture_means(model, texts[::-1], weights.flip(0))
    torch.testing.assert_close(back.sums, wanted.sums, rtol=1e-5, atol=1e-4)


def test_sums_across_texts_are_kept_in_float64() -> None:
    """A large class weight followed by small ones: float32 sums would lose the small ones."""
    model, texts = shared("llama"), texts_of([BASE], (6, 6, 6, 6))
    parts = [capture_means(model, [text], torch.ones(1, 1)).sums for text in texts]
    big = 2.0**40
    found = capture_means(model, texts, torch.tensor([[big], [1.0], [1.0], [-big]]), budget=1).sums
    wanted = big * parts[0] + parts[1] + parts[2] - big * parts[3]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-2)


@pytest.mark.parametrize("family", ["qwen2", "gemma3-vision", "gpt-neo"])
def test_no_layer_beyond_the_last_one_runs_and_no_logits_are_made(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shared(family)
    calls: list[str] = []
    watched = {
        **{f"layer {n}": layer for n, layer in enumerate(model.layers)},
        "head": model.lm.get_output_embeddings(),
    }
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name)) for name, module in watched.items()
    ]
    texts = texts_of([BASE])
    capture_means(model, texts, torch.ones(len(texts), 1), layers=(2, 0))
    assert calls == ["layer 0", "layer 1", "layer 2"]
    calls.clear()
    capture_projections(model, texts, {0: vector(1)})
    assert calls == ["layer 0"]
    calls.clear()
    capture_scalars(model, texts_of([Arm("one", "one")]), "one")
    assert calls == ["layer 0", "layer 1", "layer 2"]
    calls.clear()
    capture_means(model, texts, torch.ones(len(texts), 1))
    assert calls == [f"layer {n}" for n in range(LAYERS)]
    for handle in handles:
        handle.remove()


def test_layers_that_are_asked_for_come_in_order_and_once() -> None:
    model, texts = shared("qwen2"), texts_of([BASE])
    whole = capture_means(model, texts, torch.ones(len(texts), 1))
    some = capture_means(model, texts, torch.ones(len(texts), 1), layers=(3, 1, 3))
    assert some.layers == (1, 3)
    torch.testing.assert_close(some.sums, whole.sums[:, :, [1, 3]], rtol=0, atol=0)


@pytest.mark.parametrize("layers", [(4,), (-1,), ()])
def test_layers_beyond_the_model_are_refused(layers: tuple[int, ...]) -> None:
    texts = texts_of([BASE])
    with pytest.raises(CaptureError, match=r"layers 0\.\.3"):
        capture_means(shared("qwen2"), texts, torch.ones(len(texts), 1), layers=layers)
    with pytest.raises(CaptureError, match=r"layers 0\.\.3"):
        capture_projections(shared("qwen2"), texts, {layer: vector(1) for layer in layers})


def test_no_texts_give_no_means() -> None:
    found = capture_means(shared("qwen2"), [], torch.zeros(0, 2))
    assert found.spans == ()
    assert found.counts.shape == (2, 0)


@pytest.mark.parametrize("span", [None, (1, 3), (2, 1), (-1, 2)])
def test_a_span_that_a_text_does_not_have_names_the_text(span: tuple[int, int] | None) -> None:
    texts = [Text((5, 6), {"answer": (1, 2)}, BASE), Text((5, 6), {"answer": span} if span else {}, BASE)]
    with pytest.raises(CaptureError, match="text 1 of 2 tokens has no span 'answer'"):
        capture_means(shared("qwen2"), texts, torch.ones(2, 1))


def test_weights_that_do_not_fit_the_texts_are_refused() -> None:
    with pytest.raises(CaptureError, match=r"weights of shape \(4, 1\) for 5 texts"):
        capture_means(shared("qwen2"), texts_of([BASE]), torch.ones(4, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_projections_equal_the_reference(family: str) -> None:
    model = shared(family)
    texts = texts_of([BASE, Arm("x", "one", (Steer(vector(2), (1,), 2.0, "answer"), Ablate(vector(4), (0,))))])
    directions = {0: vector(7), 3: vector(8, 3, WIDTH)}
    for budget in (None, 20):
        for text, found in zip(texts, capture_projections(model, texts, directions, budget=budget), strict=True):
            states = states_of(model, text)
            assert found[0].shape == (len(text.ids), 1)
            assert found[3].shape == (len(text.ids), 3)
            for layer, vectors in directions.items():
                wanted = (states[layer] @ torch.atleast_2d(vectors).double().T).float()
                torch.testing.assert_close(found[layer], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_scalars_are_a_times_the_input_of_the_module(family: str) -> None:
    model = shared(family)
    scaled = (ScaleAdapter({1: 0.0}, 2.0), Steer(vector(1), (0,), 1.0))
    for adapter in ("one", "all"):
        texts = texts_of([Arm("tuned", adapter), Arm("scaled", adapter, scaled)])
        for text, found in zip(texts, capture_scalars(model, texts, adapter, budget=50), strict=True):
            inputs: dict[str, Tensor] = {}
            paths = {path: module for path, module in model.lora[adapter].items() if "vision" not in path}
            handles = [
                module.register_forward_pre_hook(
                    lambda _m, args, path=path, inputs=inputs: inputs.update({path: args[0][0].clone()})
                )
                for path, module in paths.items()
            ]
            reference.forward(model, text.ids, text.arm, text.start)
            for handle in handles:
                handle.remove()
            assert {path for path in found if "vision" not in path} == set(paths)
            for path, module in paths.items():
                wanted = inputs[path] @ module.get_submodule(f"lora_A.{adapter}").weight.T
                torch.testing.assert_close(found[path], wanted, rtol=1e-3, atol=1e-3)


def test_scalars_of_an_adapter_that_is_not_on_are_refused() -> None:
    for arm in (BASE, Arm("all", "all")):
        with pytest.raises(CaptureError, match=f"arm '{arm.name}'"):
            capture_scalars(shared("qwen2"), texts_of([arm]), "one")


def test_states_are_handed_on_once_when_a_batch_does_not_fit() -> None:
    model, texts = shared("llama"), texts_of([BASE])
    seen: dict[int, Tensor] = {}

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        assert not seen.keys() & set(batch)
        seen.update({index: held.clone() for index, held in zip(batch, states, strict=True)})

    def refuse(_module: object, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.layers[0].register_forward_pre_hook(refuse)
    try:
        visit_states(model, texts, 1, "answer", visit, budget=10_000)
    finally:
        handle.remove()
    assert sorted(seen) == list(range(len(texts)))
    for index, text in enumerate(texts):
        expected = states_of(model, text)[1][slice(*text.spans["answer"])]
        torch.testing.assert_close(seen[index].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_reader_that_runs_out_of_memory_is_not_called_again_for_the_same_texts() -> None:
    calls: list[list[int]] = []

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        calls.append(list(batch))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        visit_states(shared("llama"), texts_of([BASE]), 1, "answer", visit)
    assert len(calls) == 1
