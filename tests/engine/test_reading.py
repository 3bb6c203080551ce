"""Prompts that several texts begin with run once, and what is read is what texts that run whole give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import pytest
import torch
from tests.engine.arms import mixture, tokens_run
from tests.families import FAMILIES, LAYERS, WIDTH, prompt, shared, vector
from torch import Tensor

from misdirection.engine import (
    Arm,
    Text,
    capture_means,
    capture_projections,
    capture_scalars,
    compare,
    log_likelihoods,
    reading,
)
from misdirection.engine.capture import visit_states
from misdirection.models import Model
from misdirection.models.families import PLAIN_ATTENTION

PLAIN = ["qwen3", "llama", "gpt-neox"]
BASE = Arm("base")


def texts_of(arms: Sequence[Arm]) -> list[Text]:
    """Three prompts with several answers each, one of them empty, and two texts of their own, each under every arm."""
    lengths = {9: (3, 7, 1), 24: (5, 0, 2, 6), 21: (4, 4), 10: (6,), 3: (8,)}
    found: list[Text] = []
    for number, (length, answers) in enumerate(lengths.items()):
        begin = prompt(number, length)
        for which, more in enumerate(answers):
            ids = begin + prompt(100 * number + which, more)
            spans = {"answer": (length, len(ids)), "last": (length - 1, length), "both": (length - 2, len(ids))}
            found += [Text(ids, spans, arm, length) for arm in arms]
    return found


@pytest.fixture(params=PLAIN)
def model(request: pytest.FixtureRequest) -> Model:
    return shared(request.param)


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch, model: Model) -> Callable[[Callable[[], object]], tuple[object, object]]:
    """What a reading gives with prompts apart, and with texts whole; the first runs fewer tokens."""

    def run(read: Callable[[], object]) -> tuple[object, object]:
        with tokens_run(model) as fewer:
            apart = read()
        with monkeypatch.context() as changed, tokens_run(model) as more:
            changed.setattr(reading, "can_go_on", lambda _model: False)
            whole = read()
        assert sum(map(prod, fewer)) < sum(map(prod, more))
        return apart, whole

    return run


def close(found: object, wanted: object) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("weighting", ["token", "response"])
@pytest.mark.parametrize("budget", [40, 10_000])
def test_means(model: Model, both_ways: Callable[..., tuple[object, object]], budget: int, weighting: str) -> None:
    texts = texts_of(mixture(model))
    weights = torch.rand(len(texts), 3, generator=torch.Generator().manual_seed(1)).round(decimals=1)

    def read() -> list[Tensor]:
        found = capture_means(model, texts, weights, weighting=weighting, budget=budget)  # pyright: ignore
        means = torch.stack([found.mean(span) for span in found.spans])
        return [means.float(), found.counts.float()]

    close(*both_ways(read))


def test_means_of_layers_before_the_last(model: Model, both_ways: Callable[..., tuple[object, object]]) -> None:
    texts = texts_of([BASE, Arm("all", "all")])
    close(*both_ways(lambda: capture_means(model, texts, torch.ones(len(texts), 1), layers=[0, 2]).sums.float()))


def test_projections_of_every_token(model: Model, both_ways: Callable[..., tuple[object, object]]) -> None:
    texts = texts_of(mixture(model)[:6])
    directions = {1: vector(1), 3: vector(2, 2, WIDTH)}
    close(*both_ways(lambda: capture_projections(model, texts, directions, budget=50)))


def test_scalars_of_every_token(model: Model, both_ways: Callable[..., tuple[object, object]]) -> None:
    texts = texts_of([arm for arm in mixture(model) if arm.adapter == "all"])
    close(*both_ways(lambda: capture_scalars(model, texts, "all", budget=50)))


def test_states_of_answers_come_once_and_a_span_in_both_parts_whole(
    model: Model, both_ways: Callable[..., tuple[object, object]]
) -> None:
    texts = texts_of([BASE])

    def states(span: str) -> list[Tensor]:
        found: dict[int, Tensor] = {}

        def visit(batch: Sequence[int], held: Sequence[Tensor]) -> None:
            assert not found.keys() & set(batch)
            found.update({index: one.clone() for index, one in zip(batch, held, strict=True)})

        visit_states(model, texts, 2, span, visit, budget=40)
        return [found[index] for index in range(len(texts))]

    close(*both_ways(lambda: states("answer")))
    for text, last, both in zip(texts, states("last"), states("both"), strict=True):
        assert len(last) == 1
        assert len(both) == len(text.ids) - text.start + 2
        close(last[0], both[1])


def test_likelihoods_and_divergence(model: Model, both_ways: Callable[..., tuple[object, object]]) -> None:
    arms = mixture(model)
    texts = texts_of([BASE])

    def compared() -> list[tuple[Tensor, ...]]:
        found = compare((model, arms[5]), (model, arms[11]), texts)
        assert [len(one.first) for one in found] == [len(text.ids) - text.start for text in texts]
        return [(one.first, one.second, one.divergence) for one in found]

    close(*both_ways(compared))
    mixed = texts_of(arms)
    close(*both_ways(lambda: log_likelihoods(model, mixed)))


def test_two_models_each_keep_their_own_prompts() -> None:
    one, other, texts = shared("llama"), shared("qwen3"), texts_of([BASE])
    found = compare((one, BASE), (other, Arm("all", "all")), texts)
    close([item.first for item in found], log_likelihoods(one, texts))
    close(
        [item.second for item in found],
        log_likelihoods(other, [replace(text, arm=Arm("all", "all")) for text in texts]),
    )


def test_what_does_not_fit_is_cut_and_read_again() -> None:
    model, texts = shared("llama"), texts_of([BASE, Arm("one", "one")])
    wanted = capture_means(model, texts, torch.ones(len(texts), 1)).sums

    def refuse(_module: object, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.layers[0].register_forward_pre_hook(refuse)
    try:
        found = capture_means(model, texts, torch.ones(len(texts), 1), budget=10_000).sums
    finally:
        handle.remove()
    close(found.float(), wanted.float())


def test_texts_run_whole_where_little_is_shared_or_attention_is_not_plain() -> None:
    few = [Text(prompt(0, 9) + prompt(n, 2), {"answer": (9, 11)}, BASE, 9) for n in range(3)]
    for family, texts in (("llama", few), *((name, texts_of([BASE])) for name in FAMILIES)):
        model = shared(family)
        whole = texts is few or FAMILIES[family][0] not in PLAIN_ATTENTION or not reading.can_go_on(model)
        answers = [replace(text, spans={"answer": text.spans["answer"]}) for text in texts]
        with tokens_run(model) as seen:
            capture_means(model, answers, torch.ones(len(texts), 1))
        assert (sum(map(prod, seen)) >= sum(len(text.ids) for text in texts)) == whole, family


def test_a_row_of_a_prompt_is_read_for_each_of_its_texts() -> None:
    """Spans in the prompt may differ from text to text."""
    model, begin = shared("qwen2"), prompt(0, 40)
    texts = [Text(begin + prompt(n, 3), {"one": (n, n + 2)}, BASE, 40) for n in range(5)]
    found = capture_means(model, texts, torch.eye(5)).mean("one")
    states = capture_projections(model, texts[:1], {layer: torch.eye(WIDTH) for layer in range(LAYERS)})[0]
    for n in range(5):
        close(found[n].float(), torch.stack([states[layer][n : n + 2].mean(0) for layer in range(LAYERS)]))
