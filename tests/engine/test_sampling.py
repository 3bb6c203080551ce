from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine import reference
from tests.engine.arms import mixture, tokens_run
from tests.families import EOS, FAMILIES, LAYERS, VOCABULARY, WINDOW, prompt, shared, vector
from torch import Tensor

from misdirection.engine import Arm, Prompt, Row, Sample, SamplingConfig, Steer, decoding, sample
from misdirection.engine.choosing import choose
from misdirection.engine.decoding import Batch
from misdirection.engine.program import InterventionError
from misdirection.engine.sampling import sample_stream
from misdirection.models import Model

GREEDY = SamplingConfig(max_new_tokens=8, temperature=0)
DRAWN = SamplingConfig(max_new_tokens=8, temperature=1.3, seed=7)
LENGTHS = (3, 4 * WINDOW, 11)


def prompts(lengths: Sequence[int] = LENGTHS) -> list[Prompt]:
    return [Prompt(f"question {length}", prompt(length, length)) for length in lengths]


def product(model: Model, lengths: Sequence[int] = LENGTHS, samples: int = 1) -> list[Row]:
    return [Row(ask, arm, n) for arm in mixture(model) for ask in prompts(lengths) for n in range(samples)]


@contextmanager
def spied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[list[Row], list[Tensor]]]]:
    """The rows that come at a time, and the logits (running rows, vocabulary) of every step until the next come."""
    seen: list[tuple[list[Row], list[Tensor]]] = []
    admit, draw = Batch.admit, decoding.choose

    def admitting(batch: Batch, new: Sequence[int]) -> None:
        seen.append(([batch.all[index] for index in new], []))
        admit(batch, new)

    def drawing(logits: Tensor, *settings: object) -> Tensor:
        seen[-1][1].append(logits.clone())
        return draw(logits, *settings)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "admit", admitting)
        patch.setattr(decoding, "choose", drawing)
        yield seen


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_batch_has_the_logits_and_tokens_of_the_slow_reference(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared(family)
    monkeypatch.setattr(Model, "eos_ids", ())  # no row ends, so that row i of the logits stays row i
    config = SamplingConfig(max_new_tokens=5, temperature=1.0, seed=3)
    # One prompt a row, turn by turn short, long and middle: every batch is padded, and longer than the window.
    rows = [Row(prompts()[index % 3], arm, index) for index, arm in enumerate(mixture(model))]
    with spied(monkeypatch) as seen:
        found = sample(model, rows, config)
    assert len(seen) == 1
    batch, steps = seen[0]
    for row, got in zip(rows, found, strict=True):
        wanted, logits = reference.rollout(model, row, config)
        place = batch.index(row)
        for step, expected in enumerate(logits):
            torch.testing.assert_close(
                steps[step][place], expected, rtol=1e-3, atol=1e-3, msg=f"{row.arm.name}, {step}"
            )
        assert got == wanted, row.arm.name


@pytest.mark.parametrize("config", [GREEDY, DRAWN], ids=["greedy", "sampled"])
@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_batch_equals_each_row_alone(
    family: str, config: SamplingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared(family)
    rows = product(model)
    # A token that some row writes in the middle ends answers, so that rows leave in every family.
    monkeypatch.setattr(Model, "eos_ids", ())
    end = sample(model, [rows[5]], config)[0].ids[3]
    monkeypatch.setattr(Model, "eos_ids", (*EOS, end))
    together = sample(model, rows, config)
    assert together[5].finished
    assert len({len(answer.ids) for answer in together}) > 2, "rows must leave at different steps"
    chosen = random.Random(0).sample(range(len(rows)), 8)
    for index in chosen:
        assert sample(model, [rows[index]], config) == [together[index]], rows[index].arm.name


@pytest.mark.slow
@pytest.mark.parametrize("config", [GREEDY, DRAWN], ids=["greedy", "sampled"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_of_the_product_equals_the_reference(family: str, config: SamplingConfig) -> None:
    model = shared(family)
    rows = product(model, (1, 5, 7, 4 * WINDOW), samples=2)
    for row, got in zip(rows, sample(model, rows, config), strict=True):
        assert got == reference.rollout(model, row, config)[0], (row.arm.name, len(row.prompt.ids))
        assert sample(model, [row], config) == [got]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_rows_equal_the_generate_of_transformers(family: str) -> None:
    model = shared(family)
    base = Arm("base")
    rows = [Row(ask, base) for ask in prompts((2, 5, 9, 21))]
    found = sample(model, rows, SamplingConfig(max_new_tokens=14, temperature=0))
    for row, got in zip(rows, found, strict=True):
        ids = torch.tensor([row.prompt.ids])
        with reference.adapters(model, base):
            whole = model.lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=14)
        new = whole[0, ids.shape[1] :].tolist()
        ended = new[-1] in model.eos_ids
        assert got == Sample(tuple(new[:-1] if ended else new), ended, new[-1] if ended else None)


def test_finished_rows_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = shared("qwen2")
    rows = [Row(ask, Arm("base"), n) for ask in prompts() for n in range(12)]
    config = SamplingConfig(max_new_tokens=40, seed=1)
    with spied(monkeypatch) as seen:
        found = sample(model, rows, config)
    sizes = [len(logits) for logits in seen[0][1]]
    assert sizes[0] == len(rows)
    assert sizes[-1] < len(rows) / 2
    assert sizes == sorted(sizes, reverse=True)
    lengths = {len(answer.ids) for answer in found if answer.finished}
    assert min(lengths) < 5 < 15 < max(lengths)
    for index in random.Random(0).sample(range(len(rows)), 9):
        assert sample(model, [rows[index]], config) == [found[index]]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_samples_of_a_prompt_share_its_prefill(family: str) -> None:
    model, arms = shared(family), [Arm("base"), Arm("one", "one")]
    rows = [Row(ask, arm, n) for ask in prompts((4, 9)) for arm in arms for n in range(6)]
    with tokens_run(model) as shapes:
        sample(model, rows, SamplingConfig(max_new_tokens=3))
    assert shapes[:2] == [(4, 9), (24, 1)]


@pytest.mark.parametrize("family", ["gemma3", "gpt-neo"])
def test_neither_budget_nor_order_changes_an_answer(family: str) -> None:
    model = shared(family)
    asked = prompts((3, 17))
    rows = [Row(asked[n % 2], arm, n) for n, arm in enumerate(mixture(model))]
    wanted = sample(model, rows, DRAWN)
    for budget in (1, 60, 200):
        config = SamplingConfig(DRAWN.max_new_tokens, DRAWN.temperature, seed=DRAWN.seed, budget=budget)
        assert sample(model, rows, config) == wanted
    order = list(range(len(rows)))
    random.Random(3).shuffle(order)
    shuffled = sample(model, [rows[index] for index in order], DRAWN)
    assert [shuffled[order.index(index)] for index in range(len(rows))] == wanted


def test_the_stream_yields_every_row_once_with_its_index() -> None:
    model = shared("qwen2")
    rows = product(model, (3, 6))
    config = SamplingConfig(4, seed=2, budget=100)
    found = list(sample_stream(model, rows, config))
    assert sorted(index for index, _ in found) == list(range(len(rows)))
    assert [dict(found)[index] for index in range(len(rows))] == sample(model, rows, config)


def test_seed_sample_and_question_each_change_the_draws_and_the_arm_does_not() -> None:
    model, ids = shared("qwen2"), prompt(1, 6)
    base, same = Arm("base"), Arm("another name", None, (Steer(vector(1), (1,), 0.0),))

    def answers(seed: int = 0, key: str = "q", arm: Arm = base, first: int = 0) -> list[tuple[int, ...]]:
        rows = [Row(Prompt(key, ids), arm, first + n) for n in range(6)]
        return [answer.ids for answer in sample(model, rows, SamplingConfig(10, seed=seed))]

    assert answers() == answers()
    assert answers() == answers(arm=same)
    assert len(set(answers())) == 6
    assert not set(answers()) & set(answers(seed=1))
    assert not set(answers()) & set(answers(key="p"))
    assert answers(first=1)[:5] == answers()[1:]


def test_no_rows_and_no_new_tokens() -> None:
    model = shared("qwen2")
    assert sample(model, []) == []
    assert sample(model, [Row(prompts()[0], Arm("base"))], SamplingConfig(0)) == [Sample((), False)]


def test_a_model_without_end_tokens_runs_to_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "eos_ids", ())
    rows = [Row(ask, Arm("base"), n) for ask in prompts() for n in range(4)]
    assert {(len(a.ids), a.finished) for a in sample(shared("qwen2"), rows, SamplingConfig(9))} == {(9, False)}


def test_an_end_token_at_the_last_step_counts_as_finished() -> None:
    model = shared("qwen2")
    rows = [Row(ask, Arm("base"), n) for ask in prompts() for n in range(12)]
    free = sample(model, rows, SamplingConfig(30))
    lengths = sorted({len(answer.ids) for answer in free if answer.finished})
    assert len(lengths) > 6
    for length in lengths[::3]:
        cut = sample(model, rows, SamplingConfig(length + 1))
        assert [a.finished for a in cut] == [a.finished and len(a.ids) <= length for a in free]


def test_errors_name_the_arm() -> None:
    model, ask = shared("qwen2"), prompts()[0]
    for arm, said in [
        (Arm("lost", "no such"), "'lost' wants the adapter 'no such'"),
        (Arm("wide", None, (Steer(vector(1, 33), (0,), 1.0),)), "'wide': a direction of shape \\(33,\\)"),
        (Arm("deep", None, (Steer(vector(1), (LAYERS,), 1.0),)), "'deep': layers \\(4,\\)"),
    ]:
        with pytest.raises(InterventionError, match=said):
            sample(model, [Row(ask, arm)])


def test_choose_follows_the_plain_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, VOCABULARY, generator=generator) * 3
    logits[::7, 5:40] = -math.inf
    logits[::11] *= 40
    draws = torch.rand(200, generator=generator, dtype=torch.float64)
    for temperature, top_p in [(1.0, 1.0), (0.3, 1.0), (2.0, 0.9), (1.0, 0.5), (1.0, 1e-6), (0.0, 1.0)]:
        found = choose(logits, draws, temperature, top_p).tolist()
        assert found == [
            reference.pick(row.tolist(), float(draw), temperature, top_p)
            for row, draw in zip(logits, draws, strict=True)
        ]
        if top_p < 1e-3:
            assert found == logits.argmax(-1).tolist()


@given(st.lists(st.sampled_from([-math.inf, -1e4, -3.0, 0.0, 1.0, 88.0, 1e4]), min_size=2, max_size=9), st.data())
def test_choose_never_takes_what_has_no_chance(values: list[float], data: st.DataObject) -> None:
    if max(values) == -math.inf:
        values[0] = 0.0
    logits = torch.tensor([values])
    chances = torch.softmax(logits, -1)[0]
    draw = data.draw(st.sampled_from([0.0, 1e-300, 2.0**-53, 0.5, 1 - 2.0**-53]) | st.floats(0, 1, exclude_max=True))
    for top_p in (1.0, 0.7):
        token = int(choose(logits, torch.tensor([draw], dtype=torch.float64), 1.0, top_p))
        assert chances[token] > 0
        assert top_p == 1.0 or chances[chances > chances[token]].sum() < top_p


def test_choose_draws_in_proportion() -> None:
    chances = torch.tensor([0.5, 0.0, 0.2, 0.3])
    logits = chances.log()
    n = 40_000
    draws = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    found = torch.bincount(choose(logits.expand(n, -1), draws, 1.0, 1.0), minlength=4) / n
    torch.testing.assert_close(found, chances, atol=2 / n, rtol=0)
    nucleus = torch.bincount(choose(logits.expand(n, -1), draws, 1.0, 0.75), minlength=4) / n
    torch.testing.assert_close(nucleus, torch.tensor([0.625, 0, 0, 0.375]), atol=2 / n, rtol=0)
