"""Rows that come while others run are drawn as `sample` draws them, and end when they are told to."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tests.families import build

from misdirection.engine import Ablate, Arm, NotFiniteError, Prompt, Row, ScaleAdapter, Steer, sample
from misdirection.engine.interventions import InterventionError
from misdirection.engine.live import Live, Progress
from misdirection.engine.rows import SamplingConfig
from misdirection.errors import MisdirectionError

CONFIG = SamplingConfig(max_new_tokens=12, seed=3)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def model(request):
    return build(request.param)


def rows(model) -> list[Row]:
    torch.manual_seed(1)
    v = torch.randn(model.n_layers, model.width)
    adapter = model.adapters[0]
    arms = [
        Arm("base"), Arm("tuned", adapter), Arm("steered", None, (Steer(v, (1,), 4.0),)),
        Arm("removed", adapter, (Ablate(v, tuple(range(model.n_layers))),)),
        Arm("scaled", adapter, (ScaleAdapter({}, 0.5),)),
    ]  # fmt: skip
    prompts = [Prompt("a", (5, 6, 7)), Prompt("b", (9, 8, 7, 6, 5, 4))]
    return [Row(prompts[number % 2], arm, number) for number, arm in enumerate([*arms, *arms[:3]])]


def drain(live: Live) -> dict[int, Progress]:
    over: dict[int, Progress] = {}
    while live.busy:
        over |= {one.row: one for one in live.step() if one.over}
    return over


def test_rows_that_come_one_by_one_are_drawn_as_in_one_call(model) -> None:
    wanted = sample(model, rows(model), CONFIG)
    live, over, numbers = Live(model), {}, []
    for row in rows(model):
        # Each comes two steps after the one before, when that one has drawn two tokens.
        numbers.append(live.put(row, CONFIG))
        for _ in range(2):
            over |= {one.row: one for one in live.step() if one.over}
    over |= drain(live)
    assert [over[number].sample for number in numbers] == wanted
    assert len({answer.ids for answer in wanted}) > 3


def test_what_is_told_of_a_row_grows_token_by_token_to_its_answer(model) -> None:
    live = Live(model)
    number = live.put(rows(model)[1], CONFIG)
    seen: list[tuple[int, ...]] = []
    while live.busy:
        seen += [one.ids for one in live.step() if one.row == number]
    assert all(after[: len(before)] == before for before, after in pairwise(seen))
    assert seen[-1] == sample(model, rows(model)[1:2], CONFIG)[0].ids and len(seen) >= len(seen[-1])


def test_rows_of_other_settings_run_beside_each_other(model) -> None:
    other = SamplingConfig(max_new_tokens=5, temperature=0.0)
    live = Live(model)
    first, second = live.put(rows(model)[0], CONFIG), live.put(rows(model)[2], other)
    over = drain(live)
    assert over[first].sample == sample(model, rows(model)[:1], CONFIG)[0]
    assert over[second].sample == sample(model, rows(model)[2:3], other)[0]


def test_a_row_ends_where_it_is_told_to_and_the_others_go_on(model) -> None:
    live = Live(model)
    numbers = [live.put(row, CONFIG) for row in rows(model)[:3]]
    over = {one.row: one for _ in range(3) for one in live.step() if one.over}
    live.stop(numbers[0])
    over |= drain(live)
    wanted = sample(model, rows(model)[:3], CONFIG)
    stopped = over[numbers[0]].sample
    assert stopped is not None and not stopped.finished and len(stopped.ids) <= 4
    assert stopped.ids == wanted[0].ids[: len(stopped.ids)]
    assert [over[number].sample for number in numbers[1:]] == wanted[1:]


def test_a_row_that_waits_can_be_stopped_before_it_begins(model) -> None:
    live = Live(model, budget=20)
    first, second = (live.put(row, CONFIG) for row in rows(model)[:2])
    live.step()
    live.stop(second)
    over = drain(live)
    assert over[second].sample is not None and over[second].sample.ids == ()
    assert over[first].sample == sample(model, rows(model)[:1], CONFIG)[0]


def test_a_small_budget_makes_rows_wait_and_loses_none(model) -> None:
    live = Live(model, budget=1)
    numbers = [live.put(row, CONFIG) for row in rows(model)[:4]]
    told = live.step()
    assert [one.row for one in told] == numbers[:1]
    over = drain(live)
    assert [over[number].sample for number in numbers] == sample(model, rows(model)[:4], CONFIG)


def test_a_row_whose_numbers_are_none_ends_alone(model) -> None:
    live = Live(model)
    v = torch.zeros(model.width)
    v[0] = 1e38
    wrong = live.put(Row(Prompt("a", (5, 6, 7)), Arm("far", None, (Steer(v, (0, 1), 3.0),))), CONFIG)
    right = live.put(rows(model)[0], CONFIG)
    over = drain(live)
    assert isinstance(over[wrong].error, NotFiniteError) and over[wrong].error.hint
    assert over[right].sample == sample(model, rows(model)[:1], CONFIG)[0]


def test_what_does_not_fit_is_refused_when_it_comes(model) -> None:
    live = Live(model)
    with pytest.raises(InterventionError):
        live.put(Row(Prompt("a", (5,)), Arm("x", "nobody")), CONFIG)
    with pytest.raises(MisdirectionError):
        live.put(Row(Prompt("a", (10**6,)), Arm("x")), CONFIG)
    assert not live.busy


def test_the_model_is_left_as_it_was(model) -> None:
    hooks = sum(len(module._forward_hooks) for module in model.lm.modules())
    live = Live(model)
    live.put(rows(model)[2], CONFIG)
    live.step()
    assert sum(len(module._forward_hooks) for module in model.lm.modules()) == hooks
    drain(live)
