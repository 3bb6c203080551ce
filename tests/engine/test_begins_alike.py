"""Prompts that begin alike: what is common runs once, and answers, readings and likelihoods are those of rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from tests.engine import reference
from tests.engine.arms import mixture, tokens_run
from tests.families import LAYERS, WIDTH, WINDOW, build, prompt, shared, vector
from torch import Tensor

from misdirection.engine import (
    Ablate,
    Arm,
    Prompt,
    Row,
    SamplingConfig,
    Steer,
    Text,
    capture_means,
    capture_projections,
    capture_scalars,
    compare,
    log_likelihoods,
    passes,
    reading,
    sample,
)
from misdirection.engine.capture import visit_states
from misdirection.engine.program import Program
from misdirection.models import Model

PLAIN = ["qwen3", "llama", "gpt-neox"]
OTHERS = ["qwen2-window", "mistral", "gemma2", "gemma3", "gpt-oss", "gpt-neo"]
BASE = Arm("base")
TEMPLATE = prompt(1, 12)
SYSTEMS = [prompt(2, 31), prompt(3, 17)]
QUESTIONS = [prompt(4, 9), (*prompt(4, 8), 60), prompt(5, 1), prompt(4, 9)[:5], prompt(6, 14)]
"""The second is the first up to its last token, the fourth a beginning of it."""
PROMPTS = [(*TEMPLATE, *system, *question) for system in SYSTEMS for question in QUESTIONS]
PROMPTS += [(*TEMPLATE, *QUESTIONS[0]), TEMPLATE, prompt(7, 3)]
WHOLE = [(*ids, *prompt(50 + n, n % 4)) for n, ids in enumerate(PROMPTS)]
"""Each with an answer of up to three tokens."""


def rows_of(arms: Sequence[Arm]) -> list[Row]:
    return [Row(Prompt(str(n), ids), arm, n % 2) for n, ids in enumerate(PROMPTS) for arm in arms]


def texts_of(arms: Sequence[Arm]) -> list[Text]:
    """Two answers to a prompt; spans of the system prompt, over the prompt's end, and of all."""
    found: list[Text] = []
    for ids, whole in zip(PROMPTS, WHOLE, strict=True):
        start, end = len(ids), len(whole) + 1
        spans = {"system": (min(12, start), min(40, start)), "over": (start - 1, end), "all": (0, end)}
        found += [Text((*whole, 7, *more), spans, arm, start) for arm in arms for more in ((), (8, 9))]
    return found


def ran(model: Model, run: Callable[[], Any]) -> tuple[Any, int]:
    with tokens_run(model) as shapes:
        found = run()
    return found, sum(map(prod, shapes))


def apart(run: Callable[[], Any]) -> Any:
    """The same with every text whole and every prompt by itself."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (reading, passes):
            patch.setattr(module, "can_go_on", lambda _model: False)
        return run()


def close(found: object, wanted: object) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("temperature", [0.0, 1.2])
@pytest.mark.parametrize("family", PLAIN)
def test_answers_are_those_of_rows_alone(family: str, temperature: float) -> None:
    model, config = shared(family), SamplingConfig(6, temperature, seed=2)
    rows = rows_of(mixture(model)[::3])
    found, fewer = ran(model, lambda: sample(model, rows, config))
    wanted, more = ran(model, lambda: apart(lambda: sample(model, rows, config)))
    assert found == wanted
    assert fewer < 0.6 * more
    for index in range(0, len(rows), 31):
        assert sample(model, [rows[index]], config) == [found[index]], rows[index].arm.name
    small = SamplingConfig(6, temperature, seed=2, budget=300)
    assert sample(model, rows, small) == found


@pytest.mark.parametrize("family", ["qwen2", "olmo2", *PLAIN, *OTHERS])
def test_greedy_answers_are_those_of_generate(family: str) -> None:
    """Windows are shorter than what the prompts begin with; there they run whole."""
    model = shared(family)
    assert len(TEMPLATE) + len(SYSTEMS[0]) > 6 * WINDOW
    rows = [Row(Prompt(str(n), ids), BASE) for n, ids in enumerate(PROMPTS)]
    with tokens_run(model) as shapes:
        found = sample(model, rows, SamplingConfig(5, temperature=0))
    assert (sum(map(prod, shapes[:3])) < sum(map(len, PROMPTS))) == (family not in OTHERS)
    for row, got in zip(rows, found, strict=True):
        ids = torch.tensor([row.prompt.ids])
        with reference.adapters(model, BASE):
            whole = model.lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5)
        new = whole[0, ids.shape[1] :].tolist()
        assert got.ids == tuple(new[: next((n for n, one in enumerate(new) if one in model.eos_ids), len(new))])


@pytest.mark.parametrize("family", PLAIN)
def test_the_prefill_is_that_of_whole_prompts(family: str) -> None:
    """Cache, mask and logits, row by row: padding stands before a row's tokens alone."""
    model, arms = shared(family), mixture(shared(family))
    rows = rows_of(arms[::3])
    program = Program(model, arms)
    with torch.inference_mode(), program.attached():
        cache, logits, mask = passes.prefill(model, program, rows)
        theirs, wanted, other = passes._prefill(model, program, rows)
    assert mask is not None and other is not None and bool((mask == other).all())
    close(logits, wanted)
    seen = mask.bool()[:, None, :, None]
    for one, two in zip(cache.layers, theirs.layers, strict=True):
        close(one.keys.masked_fill(~seen, 0), two.keys.masked_fill(~seen, 0))
        close(one.values.masked_fill(~seen, 0), two.values.masked_fill(~seen, 0))


@pytest.mark.parametrize("budget", [60, 10_000])
@pytest.mark.parametrize("family", PLAIN)
def test_readings_are_those_of_texts_alone(family: str, budget: int) -> None:
    model = shared(family)
    texts = texts_of(mixture(model)[::4])
    weights = torch.rand(len(texts), 3, generator=torch.Generator().manual_seed(1))
    directions = {1: vector(1), 3: vector(2, 2, WIDTH)}

    def read() -> list[object]:
        found = [capture_means(model, texts, weights, weighting=how, budget=budget) for how in ("token", "response")]
        means = [one.mean(span).float() for one in found for span in one.spans]
        return [means, [one.counts for one in found], capture_projections(model, texts, directions, budget=budget)]

    found, fewer = ran(model, read)
    wanted, more = ran(model, lambda: apart(read))
    close(found, wanted)
    assert fewer < 0.7 * more


def test_readings_are_those_of_the_slow_reference() -> None:
    model, arms = shared("llama"), mixture(shared("llama"))[1::2]
    texts = texts_of(arms)
    found = capture_projections(model, texts, {3: torch.eye(WIDTH)})
    told = log_likelihoods(model, texts)
    for index in range(0, len(texts), 37):
        text = texts[index]
        logits, states = reference.forward(model, text.ids, text.arm, text.start)
        torch.testing.assert_close(found[index][3], states[3], rtol=1e-3, atol=1e-3, msg=text.arm.name)
        chances = torch.log_softmax(logits[text.start - 1 : -1], -1)
        wanted = chances.gather(1, torch.tensor(text.ids[text.start :])[:, None])[:, 0]
        torch.testing.assert_close(told[index], wanted, rtol=1e-3, atol=1e-3, msg=text.arm.name)


@pytest.mark.parametrize("family", ["qwen3", "gpt-neox"])
def test_likelihoods_and_scalars_are_those_of_texts_alone(family: str) -> None:
    model, arms = shared(family), mixture(shared(family))
    texts, tuned = texts_of(arms[::4]), texts_of([arm for arm in arms if arm.adapter == "all"][:2])

    def read() -> list[object]:
        compared = compare((model, arms[5]), (model, arms[11]), texts)
        sides = [(one.first, one.second, one.divergence) for one in compared]
        return [sides, log_likelihoods(model, texts), capture_scalars(model, tuned, "all")]

    close(read(), apart(read))


def test_states_of_a_span_come_whole_and_once() -> None:
    model, texts = shared("qwen2"), texts_of([BASE, Arm("one", "one")])

    def states(span: str) -> list[Tensor]:
        found: dict[int, Tensor] = {}

        def visit(some: Sequence[int], held: Sequence[Tensor]) -> None:
            assert not found.keys() & set(some)
            found.update({index: one.clone() for index, one in zip(some, held, strict=True)})

        spans = [replace(text, spans={"answer": (text.start, len(text.ids)), **text.spans}) for text in texts]
        visit_states(model, spans, 2, span, visit, budget=90)
        return [found[index] for index in range(len(texts))]

    for span in ("answer", "over", "all"):
        close(states(span), apart(lambda span=span: states(span)))


def shared_rows(model: Model, arms: Sequence[Arm]) -> int:
    """Rows of the first pass over one prompt of two questions under some arms."""
    rows = [Row(Prompt(str(n), (*SYSTEMS[0] * 3, n + 20)), arm) for arm in arms for n in range(2)]
    with tokens_run(model) as shapes:
        sample(model, rows, SamplingConfig(1))
    assert shapes[0][1] == 93 and shapes[1] == (2 * len(arms), 1)
    return shapes[0][0]


def test_arms_that_act_alike_on_a_beginning_share_it() -> None:
    model = shared("llama")
    one, two = Steer(vector(1), (1,), 2.0, "answer"), Ablate(vector(2), tuple(range(LAYERS)), "answer")
    whole = Steer(vector(1), (1,), 2.0)
    assert shared_rows(model, [BASE, Arm("one", None, (one,)), Arm("two", None, (two, one)), Arm("same")]) == 1
    assert shared_rows(model, [Arm("a", "one"), Arm("b", "one", (two,)), BASE]) == 2
    assert shared_rows(model, [Arm("a", None, (whole,)), Arm("b", None, (whole, one)), BASE]) == 2
    assert shared_rows(model, [Arm("a", None, (whole,)), Arm("b", None, (replace(whole, coefficient=1.0),))]) == 2


def test_memory_that_ends_in_a_prefill_ends_no_sampling() -> None:
    """Where not even one prompt fits beside those that are kept, fewer begin at a time."""
    model, rows = shared("llama"), rows_of([BASE, Arm("one", "one")])
    config = SamplingConfig(4, seed=1)
    wanted = sample(model, rows, config)
    prefilled: list[int] = []
    begin = passes.prefill

    def counted(*given: Any) -> Any:
        prefilled.clear()
        return begin(*given)

    def refuse(_module: object, inputs: tuple[Tensor, ...]) -> None:
        prefilled.append(len(inputs[0]))
        if sum(prefilled) > 12 and inputs[0].shape[1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.layers[0].register_forward_pre_hook(refuse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "prefill", counted)
        patch.setattr(passes, "pass_budget", lambda _model: 100)
        try:
            assert sample(model, rows, config) == wanted
        finally:
            handle.remove()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "gpt-neox"])
def test_in_half_precision_readings_are_as_near_the_truth_as_those_of_whole_texts(
    family: str, dtype: torch.dtype
) -> None:
    model, texts = build(family), texts_of([BASE, Arm("one", "one")])

    def read() -> Tensor:
        return torch.cat([one[LAYERS - 1] for one in capture_projections(model, texts, {LAYERS - 1: torch.eye(WIDTH)})])

    truth = read()
    model.lm.to(dtype)  # pyright: ignore[reportArgumentType]
    errors = [float((side - truth).norm()) for side in (read(), apart(read))]
    assert 0 < errors[0] < 1.2 * errors[1]
    assert len(log_likelihoods(model, texts)) == len(texts), "passes over beginnings alone have no logits to make"
