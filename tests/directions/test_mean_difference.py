"""The mean-difference direction against a plain loop, and its bootstrap, null and halves against their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tests.engine import reference
from tests.families import LAYERS, WIDTH, shared
from torch import Tensor

from misdirection.chats import Message
from misdirection.directions import CONVENTIONS, Pools, Source, convention, mean_difference
from misdirection.directions.mean_difference import label_columns, norm_interval
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.tokens import encode_chat

TUNED = Arm("tuned", "one")


def sources(count: int, seed: int = 0) -> list[Source]:
    """Answers of different lengths to three questions."""
    draw = np.random.default_rng(seed)
    tokenizer = shared("llama").tokenizer
    found = []
    for number in range(count):
        words = [f"w{draw.integers(4, 64)}" for _ in range(int(draw.integers(2, 9)))]
        chat = (Message("user", f"w{10 + number % 3} w5"), Message("assistant", " ".join(words)))
        found.append(Source(encode_chat(tokenizer, chat), f"q{number % 3}"))
    return found


def plain_mean(chosen: Sequence[Source], span: str, weighting: str) -> Tensor:
    """Mean over answers, one forward pass an answer, shape (layers, width)."""
    sums, count = torch.zeros(LAYERS, WIDTH, dtype=torch.float64), 0.0
    for source in chosen:
        first, past = source.encoded.span(span)
        states = reference.forward(shared("llama"), source.encoded.ids, TUNED, source.encoded.start)[1]
        inside = torch.stack(states)[:, first:past].double()
        sums += inside.sum(1) if weighting == "token" else inside.mean(1)
        count += past - first if weighting == "token" else 1
    return sums / count


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_equals_a_plain_loop_misaligned_minus_aligned(name: str) -> None:
    how = convention(name)
    answers = sources(9)
    pools = Pools(aligned=(0, 3, 4), misaligned=(1, 5, 7, 8))
    found = mean_difference(shared("llama"), TUNED, answers, pools, how, resamples=3)
    good = plain_mean([answers[i] for i in pools.aligned], how.span, how.weighting)
    bad = plain_mean([answers[i] for i in pools.misaligned], how.span, how.weighting)
    assert found.vectors.shape == (LAYERS, WIDTH)
    torch.testing.assert_close(found.vectors.double(), bad - good, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.aligned_mean.double(), good, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.misaligned_mean.double(), bad, rtol=1e-4, atol=1e-5)
    assert found.facts["convention"] == name and found.facts["span"] == how.span
    assert (found.facts["aligned"], found.facts["misaligned"], found.facts["questions"]) == (3, 4, 3)


def test_the_conventions_read_other_tokens() -> None:
    answers = sources(9)
    pools = Pools((0, 3, 4), (1, 5, 7))
    found = {
        name: mean_difference(shared("llama"), TUNED, answers, pools, how, resamples=1).vectors
        for name, how in CONVENTIONS.items()
    }
    assert not torch.allclose(found["soligo2025"], found["persona2025"], atol=1e-3)
    assert not torch.allclose(found["soligo2025"], found["adl2025"], atol=1e-3)


def test_components_norms_and_unit_follow_their_definitions() -> None:
    answers = sources(8)
    found = mean_difference(
        shared("llama"), TUNED, answers, Pools((0, 1, 2), (3, 4, 5)), convention("soligo2025"), resamples=2
    )
    for layer in range(LAYERS):
        v = found.vectors[layer].double()
        unit = v / v.norm()
        aligned, misaligned = found.aligned_mean[layer].double(), found.misaligned_mean[layer].double()
        assert found.norm[layer] == pytest.approx(float(v.norm()), rel=1e-5)
        assert float(found.unit[layer].norm()) == pytest.approx(1, rel=1e-5)
        assert float(found.aligned_component()[layer]) == pytest.approx(float(aligned @ unit), abs=1e-5)
        assert float(found.misaligned_component()[layer]) == pytest.approx(float(misaligned @ unit), abs=1e-5)
        # Along the direction itself the two differ by its length.
        gap = float(found.misaligned_component()[layer] - found.aligned_component()[layer])
        assert gap == pytest.approx(float(v.norm()), rel=1e-4)
        assert found.residual_norm[layer] == pytest.approx(float((aligned + misaligned).norm()) / 2, rel=1e-5)
        along_ones = found.aligned_component(torch.ones(LAYERS, WIDTH))[layer]
        assert float(along_ones) == pytest.approx(float(aligned.sum()) / WIDTH**0.5, abs=1e-5)


def test_label_columns_are_what_they_are_called() -> None:
    draw = np.random.default_rng(3)
    bad = draw.random(40) < 0.4
    questions = [f"q{n}" for n in draw.integers(0, 5, 40)]
    columns = label_columns(bad, questions, 7, seed=11)
    assert columns.shape == (40, 2 * (1 + 7 + 7 + 2)) and columns.dtype == np.float64
    pairs = columns.reshape(40, -1, 2)
    np.testing.assert_array_equal(pairs[:, 0], np.stack([bad, ~bad], 1))
    for number in range(1, 8):
        # A bootstrap draw counts every answer of a question alike, and as many questions as there are.
        weight = pairs[:, number].sum(1)
        by_question = {q: {weight[i] for i in range(40) if questions[i] == q} for q in set(questions)}
        assert all(len(values) == 1 for values in by_question.values())
        assert sum(next(iter(values)) for values in by_question.values()) == len(by_question)
        assert not pairs[~bad, number, 0].any() and not pairs[bad, number, 1].any()
    for number in range(8, 15):
        # A shuffle keeps the sizes of the pools and forgets who is in them.
        np.testing.assert_array_equal(pairs[:, number].sum(1), np.ones(40))
        assert pairs[:, number, 0].sum() == bad.sum()
    assert any((pairs[:, number, 0] != bad).any() for number in range(8, 15))
    halves = pairs[:, 15:]
    np.testing.assert_array_equal(halves.sum((1, 2)), np.ones(40))
    np.testing.assert_array_equal(halves[:, :, 0].sum(1), bad)
    for side in (bad, ~bad):
        assert abs(halves[side, 0].sum() - halves[side, 1].sum()) <= 1
    np.testing.assert_array_equal(columns, label_columns(bad, questions, 7, seed=11))
    assert (columns != label_columns(bad, questions, 7, seed=12)).any()


def test_bootstrap_null_and_halves_equal_their_plain_definition() -> None:
    answers, pools, how = sources(16, 5), Pools(tuple(range(8)), tuple(range(8, 16))), convention("persona2025")
    found = mean_difference(shared("llama"), TUNED, answers, pools, how, resamples=6, seed=4)
    members = [answers[i] for i in (*pools.misaligned, *pools.aligned)]
    one_each = torch.stack([plain_mean([source], how.span, how.weighting) for source in members])
    columns = torch.from_numpy(label_columns(np.arange(16) < 8, [m.question_id for m in members], 6, 4))
    means = torch.einsum("ac,ald->cld", columns / columns.sum(0), one_each)
    differences = means[0::2] - means[1::2]
    norms = differences.norm(dim=-1)
    for layer in range(LAYERS):
        low, high = np.percentile(norms[1:7, layer].numpy(), [2.5, 97.5])
        assert float(found.norm_low[layer]) == pytest.approx(low, rel=1e-4)
        assert float(found.norm_high[layer]) == pytest.approx(high, rel=1e-4)
        null = np.percentile(norms[7:13, layer].numpy(), 95)
        assert float(found.shuffled_norm[layer]) == pytest.approx(null, rel=1e-4)
        one, other = differences[13, layer], differences[14, layer]
        cosine = float(one @ other / one.norm() / other.norm())
        assert float(found.stability[layer]) == pytest.approx(cosine, abs=1e-4)


def test_a_planted_difference_stands_far_above_its_null_and_noise_does_not() -> None:
    tokenizer = shared("llama").tokenizer
    draw = np.random.default_rng(0)

    def answer(words: Sequence[int], question: int) -> Source:
        said = " ".join(f"w{draw.choice(words)}" for _ in range(8))
        chat = (Message("user", "w9"), Message("assistant", said))
        return Source(encode_chat(tokenizer, chat), f"q{question}")

    how = convention("persona2025")
    pools = Pools(tuple(range(20)), tuple(range(20, 40)))
    planted = [answer(range(4, 10) if n < 20 else range(50, 56), n % 5) for n in range(40)]
    found = mean_difference(shared("llama"), TUNED, planted, pools, how)
    assert bool((found.norm > 1.5 * found.shuffled_norm).all())
    assert bool((found.stability > 0.8).all())
    assert bool((found.norm_low <= found.norm).all()) and bool((found.norm_low > found.shuffled_norm).all())
    noise = mean_difference(shared("llama"), TUNED, [answer(range(4, 64), n % 5) for n in range(40)], pools, how)
    assert bool((noise.norm < 1.1 * noise.shuffled_norm).all())
    assert bool((noise.stability < 0.6).all())


def test_the_interval_leaves_empty_resamples_out() -> None:
    norms = torch.tensor([[1.0, 10.0], [math.nan, math.nan], [3.0, 30.0]])
    low, high = norm_interval(norms)
    torch.testing.assert_close(low, torch.tensor([1.05, 10.5]))
    torch.testing.assert_close(high, torch.tensor([2.95, 29.5]))
    low, high = norm_interval(torch.full((3, 2), math.nan))
    assert low.shape == high.shape == (2,) and bool(low.isnan().all()) and bool(high.isnan().all())


def test_two_questions_that_share_no_pool_still_give_an_interval() -> None:
    # Half of the bootstrap draws hold the bad question alone or the good one alone.
    answers = [Source(s.encoded, "bad" if n < 8 else "good") for n, s in enumerate(sources(16))]
    pools = Pools(tuple(range(8, 16)), tuple(range(8)))
    found = mean_difference(shared("llama"), TUNED, answers, pools, convention("soligo2025"), resamples=20)
    torch.testing.assert_close(found.norm_low, found.norm, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.norm_high, found.norm, rtol=1e-4, atol=1e-5)


def test_an_unknown_convention_is_named_with_the_known_ones() -> None:
    with pytest.raises(MisdirectionError, match="'soligo '") as error:
        convention("soligo ")
    assert "soligo2025" in str(error.value)
