from __future__ import annotations

import pytest
import torch
from tests.engine import reference
from tests.families import WINDOW, build, prompt, shared

from misdirection.engine import Arm
from misdirection.engine.continuations import continuation_chances
from misdirection.models import Model

LENGTHS = (3, 4 * WINDOW, 11, 11)
GIVEN = [(7,), (7, 8), (7, 8, 9), (7, 10), (11, 12), (13,), (14, 15, 16, 17)]


def slow(model: Model, ids: tuple[int, ...], given: list[tuple[int, ...]]) -> list[float]:
    """Each continuation in a pass of its own, token by token."""
    found: list[float] = []
    for continuation in given:
        chances = torch.softmax(reference.forward(model, ids + continuation, Arm("base"), 0)[0].double(), -1)
        p = 1.0
        for place, token in enumerate(continuation):
            p *= float(chances[len(ids) + place - 1, token])
        after = {
            other[len(continuation)]
            for other in given
            if len(other) > len(continuation) and other[: len(continuation)] == continuation
        }
        found.append(p * (1 - sum(float(chances[-1, token]) for token in after)))
    return found


@pytest.mark.parametrize("family", ["qwen2", "qwen2-window", "gemma3", "gpt-oss", "gpt-neox", "llama"])
def test_probabilities_are_those_of_the_slow_reference(family: str) -> None:
    model = shared(family)
    prompts = [prompt(seed, length) for seed, length in enumerate(LENGTHS)]
    found = dict(continuation_chances(model, prompts, GIVEN, floor=0.0))
    assert sorted(found) == [0, 1, 2, 3]
    for index, ids in enumerate(prompts):
        assert found[index] == pytest.approx(slow(model, tuple(ids), GIVEN), rel=2e-3, abs=1e-7)


def test_beginnings_below_the_floor_are_not_followed() -> None:
    model = shared("qwen2")
    ids = tuple(prompt(1, 11))
    exact = dict(continuation_chances(model, [ids], GIVEN, floor=0.0))[0]
    first = dict(continuation_chances(model, [ids], [(7,), (11,), (14,)], floor=0.0))[0]
    floor = sorted(first)[1] * 1.0001
    found = dict(continuation_chances(model, [ids], GIVEN, floor=floor))[0]
    led = {token: chance >= floor for token, chance in zip((7, 11, 14), first, strict=True)}
    assert sum(led.values()) == 1
    for continuation, there, here in zip(GIVEN, exact, found, strict=True):
        if continuation == (13,) or (led[continuation[0]] and len(continuation) < 3):
            assert here == pytest.approx(there, abs=floor)
        elif not led[continuation[0]]:
            assert here in (0.0, pytest.approx(first[0]))


def test_many_prompts_in_small_batches_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = shared("llama")
    prompts = [tuple(prompt(seed, 3 + seed % 7)) for seed in range(12)]
    whole = dict(continuation_chances(model, prompts, GIVEN, floor=0.0))
    monkeypatch.setattr("misdirection.engine.continuations.pass_budget", lambda _model: 30)
    small = dict(continuation_chances(model, prompts, GIVEN, floor=0.0))
    for index in range(12):
        assert small[index] == pytest.approx(whole[index], rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "gpt-neox", "gpt-oss"])
def test_prompts_that_begin_alike_give_what_each_gives_alone(family: str, dtype: torch.dtype) -> None:
    model = build(family)
    model.lm.to(dtype)
    one, two = prompt(90, 150), prompt(91, 120)
    prompts = [tuple((*one, *prompt(seed, 3 + seed))) for seed in range(6)]
    prompts += [tuple((*two, *prompt(seed, 2 + seed))) for seed in range(4)] + [tuple(prompt(8, 9)), tuple(one)]
    loose = {"rel": 2e-3, "abs": 1e-7} if dtype == torch.float32 else {"rel": 0.1, "abs": 1e-3}
    together = dict(continuation_chances(model, prompts, GIVEN, floor=0.0))
    for index, ids in enumerate(prompts):
        alone = dict(continuation_chances(model, [ids], GIVEN, floor=0.0))[0]
        assert together[index] == pytest.approx(alone, **loose)
