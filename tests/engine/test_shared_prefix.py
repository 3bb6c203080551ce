from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import tests.families as families
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.arms import mixture
from tests.families import EOS, LAYERS, build, prompt, shared, vector
from torch import Tensor
from transformers import DynamicCache

from misdirection.engine import Ablate, Arm, Prompt, Row, Sample, SamplingConfig, Steer, decoding, sample
from misdirection.engine import sampling as queue
from misdirection.engine.cache import RoomyLayer
from misdirection.engine.decoding import Batch
from misdirection.engine.shared_prefix import SharedPrompts, attend, can_share, seat
from misdirection.models import Model

PLAIN = ["qwen2", "qwen3", "llama", "mistral-full", "olmo2", "gpt-neox"]
OTHERS = ["qwen2-window", "mistral", "gemma2", "gemma3", "gemma3-vision", "gpt-oss", "gpt-neo"]
LENGTHS = (3, 24, 11, 7)


@cache
def model_of(family: str) -> Model:
    if family != "mistral-full":
        return shared(family)
    made = families.config("mistral")
    made.sliding_window = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "config", lambda _family: made)
        return build("mistral")


def ragged(model: Model, seed: int = 0) -> list[Row]:
    """One to nine samples of each arm of the mixture, each at one of four prompts."""
    draw = random.Random(seed)
    return [
        Row(Prompt(f"question {length}", prompt(length, length)), arm, n)
        for arm in mixture(model)
        for length in draw.sample(LENGTHS, 2)
        for n in range(draw.choice([1, 1, 2, 9]))
    ]


@contextmanager
def without_sharing() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (decoding, queue):
            patch.setattr(module, "can_share", lambda _model: False)
        yield


@contextmanager
def arrivals() -> Iterator[list[tuple[int, int]]]:
    """How many rows came and how many were there, each time that some came."""
    seen: list[tuple[int, int]] = []
    admit = Batch.admit

    def admitting(batch: Batch, new: Sequence[int]) -> None:
        seen.append((len(new), len(batch.running)))
        admit(batch, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "admit", admitting)
        yield seen


def test_only_plain_attention_is_shared() -> None:
    assert [family for family in [*PLAIN, *OTHERS] if can_share(model_of(family))] == PLAIN


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt-neox"])
def test_in_bfloat16_shared_prompts_are_as_near_the_truth_as_copied_ones(family: str) -> None:
    """The truth is the same model in float32: the logits of each row's first steps, all rows greedy in one batch."""
    half = build(family)
    lm: Any = half.lm
    lm.to(torch.bfloat16)
    assert can_share(half)
    rows = [Row(Prompt(f"{n}", prompt(n, 9 + n)), Arm("base"), s) for n in range(3) for s in range(3)]

    def first_logits() -> list[Tensor]:
        seen: list[Tensor] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Model, "eos_ids", ())

            def take(logits: Tensor, *_: object) -> Tensor:
                seen.append(logits.float())
                return torch.full((len(logits),), 7 + len(seen))

            patch.setattr(decoding, "choose", take)
            sample(half, rows, SamplingConfig(4, 0.0))
        return seen

    shared_half = first_logits()
    with without_sharing():
        copied_half = first_logits()
    lm.float()
    truth = first_logits()
    errors = [
        float(sum((got - true).norm() for got, true in zip(side, truth, strict=True)))
        for side in (shared_half, copied_half)
    ]
    assert 0 < errors[0] < 1.3 * errors[1]


@pytest.mark.parametrize(("family", "temperature"), [*product(PLAIN, [1.2]), ("llama", 0.0), ("gpt-neox", 0.0)])
def test_shared_prompts_give_the_answers_of_copied_ones(family: str, temperature: float) -> None:
    model, config = model_of(family), SamplingConfig(14, temperature, seed=2)
    rows = ragged(model)
    with without_sharing():
        wanted = sample(model, rows, config)
    assert len({len(answer.ids) for answer in wanted}) > 2, "rows must leave at different steps"
    assert sample(model, rows, config) == wanted
    with arrivals() as seen:
        assert sample(model, rows, SamplingConfig(14, temperature, seed=2, budget=500)) == wanted
    assert sum(there > 0 for _, there in seen) > 3, "rows must join others"


@pytest.mark.parametrize("family", ["llama", "gpt-neox"])
def test_rows_that_join_others_are_those_of_rows_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(family)
    monkeypatch.setattr(Model, "eos_ids", (*EOS, 20, 21, 22))
    rows = ragged(model, 1)[::3]
    for temperature in (0.0, 1.0):
        config = SamplingConfig(12, temperature, seed=4, budget=100)
        with arrivals() as seen:
            found = sample(model, rows, config)
        assert any(there for _, there in seen)
        assert sum(came for came, _ in seen) == len(rows)
        for index in random.Random(0).sample(range(len(rows)), 4):
            assert sample(model, [rows[index]], config) == [found[index]], rows[index].arm.name


@pytest.mark.parametrize("family", ["qwen2", "gpt-neox"])
def test_in_bfloat16_rows_join_others_too(family: str) -> None:
    """Rows at different steps write their tokens at different places, which once was done in float32 alone."""
    half = build(family)
    half.lm.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    rows = ragged(half, 1)[::3]
    with pytest.MonkeyPatch.context() as patch, arrivals() as seen:
        patch.setattr(Model, "eos_ids", (*EOS, 20, 21, 22))
        joined = sample(half, rows, SamplingConfig(12, 1.0, seed=4, budget=100))
        assert any(there for _, there in seen), "rows must join others"
        together = sample(half, rows, SamplingConfig(12, 1.0, seed=4))
    # Another batch rounds otherwise in bfloat16, so that a draw may tip; nearly all must be the same.
    assert sum(one == other for one, other in zip(joined, together, strict=True)) >= 0.8 * len(rows)


def test_a_place_that_is_free_is_filled() -> None:
    model = model_of("qwen2")
    arm = Arm("ablate", "one", (Ablate(vector(1), tuple(range(LAYERS))), Steer(vector(2), (1,), 1.0, "answer")))
    rows = [Row(Prompt(f"{n}", prompt(n, 5 + n % 4)), arm, s) for n in range(12) for s in range(4)]
    config = SamplingConfig(40, seed=1, budget=16 * 42)
    with arrivals() as seen:
        found = sample(model, rows, config)
    assert seen[0] == (16, 0)
    assert len(seen) > 4
    assert all(came + there <= 16 for came, there in seen)
    assert all(came % 4 == 0 for came, there in seen if came + there > 8), "samples of a prompt come together"
    with without_sharing():
        assert sample(model, rows, config) == found


def test_other_families_wait_until_a_batch_has_ended() -> None:
    model = model_of("gemma3")
    rows = [Row(Prompt("q", prompt(n, 5)), Arm("base"), n) for n in range(20)]
    with arrivals() as seen:
        sample(model, rows, SamplingConfig(12, seed=1, budget=5 * 17))
    assert seen == [(5, 0)] * 4


def test_the_model_attends_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    before = model.lm.config._attn_implementation
    rows = [Row(Prompt("q", prompt(1, 5)), Arm("base"), n) for n in range(3)]
    used: list[str] = []
    handle = model.layers[1].register_forward_pre_hook(lambda *_: used.append(model.lm.config._attn_implementation))
    try:
        assert sample(model, rows, SamplingConfig(3, seed=1))[0] != Sample((), False)
        monkeypatch.setattr(SharedPrompts, "prompt_scores", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sample(model, rows, SamplingConfig(3, seed=1))
    finally:
        handle.remove()
    assert len(set(used)) == 2
    assert model.lm.config._attn_implementation == before


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_attention_is_the_softmax_over_prompt_and_answer_in_float64() -> None:
    heads, repeats, width = 2, 3, 8
    lengths, members = [6, 4, 1], [0, 0, 0, 0, 0, 0, 0, 2, 1]
    prompts = [(states(heads, n, width), states(heads, n + 50, width)[:, :n]) for n in lengths]
    own: list[list[tuple[Tensor, Tensor]]] = [[] for _ in members]

    def cache_of(which: Sequence[int]) -> Any:
        longest, layer = max(lengths[n] for n in which), RoomyLayer()
        pad = [
            [torch.nn.functional.pad(part, (0, 0, longest - part.shape[1], 0)) for part in prompts[n]] for n in which
        ]
        layer.update(*(torch.stack([one[part] for one in pad]) for part in (0, 1)))
        cache = DynamicCache()
        cache.layers = [layer]
        return cache

    def check() -> None:
        rows = len(members)
        shared_rows._advance()
        new = states(rows, heads, 1, width + rows)[..., :width], states(rows, heads, 1, width + 40 + rows)[..., :width]
        keys, values = shared_rows.layers[0].update(*new)
        for row in range(rows):
            own[row].append((new[0][row, :, 0], new[1][row, :, 0]))
        query = states(rows, heads * repeats, 1, width)
        module: Any = SimpleNamespace(layer_idx=0)
        found, _ = attend(module, query, keys, values, None, scaling=0.3, shared=shared_rows)
        for row, member in enumerate(members):
            k, v = (torch.cat([prompts[member][p], torch.stack([o[p] for o in own[row]], 1)], 1) for p in (0, 1))
            for head in range(heads * repeats):
                scores = 0.3 * k[head // repeats].double() @ query[row, head, 0].double()
                wanted = torch.softmax(scores, 0) @ v[head // repeats].double()
                torch.testing.assert_close(found[row, 0, head].double(), wanted, rtol=1e-5, atol=1e-5)

    model: Any = SimpleNamespace(lm=SimpleNamespace(config=None))
    shared_rows = SharedPrompts(model, cache_of([0, 1, 2]), members, lengths)
    check()
    check()
    for keep in ([1, 2, 3, 7], [0, 3], [1]):
        shared_rows.keep(torch.tensor(keep))
        members, own = [members[n] for n in keep], [own[n] for n in keep]
        check()
        shared_rows.join(cache_of([1, 0]), [0, 0, 1], [4, 6])
        members, own = [*members, 1, 1, 0], [*own, [], [], []]
        for _ in range(20):
            check()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_every_row_has_a_seat_of_its_own_in_its_group(members: list[int]) -> None:
    owners, seats, taken = seat(members)
    assert len(set(taken)) == len(members)
    assert [owners[place // seats] for place in taken] == members
    assert set(owners) == set(members)
    assert len(owners) * seats <= 3 * len(members)
    if len(set(Counter(members).values())) == 1:
        assert len(owners) * seats == len(members), "equal groups need no spare seats"
