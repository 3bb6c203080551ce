"""Every family against plain transformers: `generate`'s tokens, `hidden_states`, logits, and a plain hook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.engine.every_family import TABLE, tiny
from tests.families import EOS, LAYERS, prompt, vector, words
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from misdirection.engine import (
    Arm,
    Prompt,
    Row,
    SamplingConfig,
    Steer,
    Text,
    capture_means,
    log_likelihoods,
    sample,
)
from misdirection.engine.batching import default_budget
from misdirection.engine.continuations import continuation_chances
from misdirection.engine.program import Program
from misdirection.models import ModelError, find_layers, wrap
from misdirection.models.families import NO_SAMPLING

PROMPTS = [prompt(seed, length) for seed, length in enumerate((5, 11, 17, 11, 1))]
FIRST_IS_A_LAYER = ("falcon_mamba", "mamba", "mamba2", "rwkv")
"""Whose `hidden_states` begin after the first layer, not with the embeddings."""
OFTEN = ("qwen3_5_text", "gemma3n_text", "falcon_h1", "recurrent_gemma", "minimax", "mamba", "rwkv")
"""One of every kind of cache and stream; the others are slow to go through."""


def among(kinds: Iterable[str]) -> pytest.MarkDecorator:
    marked = [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]
    return pytest.mark.parametrize("kind", marked)


every, sampled = among(TABLE), among(kind for kind in TABLE if kind not in NO_SAMPLING)


def stream(layer: Any, output: Any) -> Tensor:
    x = output if isinstance(output, Tensor) else output[0]
    return x[0] if hasattr(layer, "altup") else x


@contextmanager
def steered(lm: Any, number: int, by: Tensor) -> Iterator[None]:
    def hook(layer: Any, _inputs: object, output: Any) -> None:
        stream(layer, output).add_(by)

    handle = find_layers(lm)[number].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def logits_of(lm: Any, ids: tuple[int, ...]) -> Tensor:
    with torch.no_grad():
        return lm(torch.tensor([ids]), use_cache=False).logits[0]


def until_end(ids: list[int]) -> tuple[int, ...]:
    return tuple(ids[: next((place for place, token in enumerate(ids) if token in EOS), len(ids))])


@sampled
def test_answers_are_those_of_generate(kind: str) -> None:
    """Rows of unequal length, two samples a prompt, some of which end early and leave."""
    lm = tiny(kind)
    wanted = [until_end(lm.generate(torch.tensor([ids]), max_new_tokens=10, do_sample=False)[0, len(ids) :].tolist())  # pyright: ignore
              for ids in PROMPTS]  # fmt: skip
    model, arm = wrap(lm, words(), kind), Arm("base")
    rows = [Row(Prompt(str(n), ids), arm, number) for n, ids in enumerate(PROMPTS) for number in (0, 1)]
    found = sample(model, rows, SamplingConfig(10, temperature=0))
    assert [answer.ids for answer in found] == [ids for ids in wanted for _ in (0, 1)]
    assert default_budget(model) >= 1024


@sampled
def test_steered_answers_are_those_of_a_plain_hook_without_a_cache(kind: str) -> None:
    lm = tiny(kind)
    arms = [Arm("base"), Arm("steered", None, (Steer(vector(1, lm.config.hidden_size), (2,), 1.5),))]
    wanted = []
    for ids in PROMPTS:
        for arm in arms:
            text = ids
            with steered(lm, 2, vector(1, lm.config.hidden_size) * (1.5 if arm.interventions else 0.0)):
                for _ in range(6):
                    text = (*text, int(logits_of(lm, text)[-1].argmax()))
            wanted.append(until_end(list(text[len(ids) :])))
    rows = [Row(Prompt(str(n), ids), arm) for n, ids in enumerate(PROMPTS) for arm in arms]
    found = sample(wrap(lm, words(), kind), rows, SamplingConfig(6, temperature=0))
    assert [answer.ids for answer in found] == wanted
    assert wanted[::2] != wanted[1::2]


@every
def test_means_are_those_of_hidden_states(kind: str) -> None:
    lm = tiny(kind)
    arm = Arm("base")
    texts = [Text(ids, {"all": (0, len(ids))}, arm) for ids in PROMPTS]
    found = capture_means(wrap(lm, words(), kind), texts, torch.eye(len(texts))).mean("all")
    for mean, ids in zip(found, PROMPTS, strict=True):
        with torch.no_grad():
            states = lm(torch.tensor([ids]), output_hidden_states=True).hidden_states
        states = states if kind in FIRST_IS_A_LAYER else states[1:]
        # The last one has the final norm behind it.
        for layer in range(LAYERS - 1):
            x = states[layer] if states[layer].ndim == 3 else states[layer][0]
            torch.testing.assert_close(mean[layer], x[0].double().mean(0), rtol=1e-4, atol=1e-4)


@every
def test_likelihoods_are_those_of_plain_logits(kind: str) -> None:
    lm = tiny(kind)
    arms = [Arm("base"), Arm("steered", None, (Steer(vector(1, lm.config.hidden_size), (1,), 2.0),))]
    texts = [Text(ids, {}, arm, 2 + n) for n, ids in enumerate(PROMPTS[:4]) for arm in arms]
    for text, found in zip(texts, log_likelihoods(wrap(lm, words(), kind), texts), strict=True):
        with steered(lm, 1, vector(1, lm.config.hidden_size) * (2.0 if text.arm.interventions else 0.0)):
            chances = torch.log_softmax(logits_of(lm, text.ids), -1)
        wanted = [float(chances[place - 1, text.ids[place]]) for place in range(text.start, len(text.ids))]
        assert found.tolist() == pytest.approx(wanted, rel=1e-3, abs=1e-3)


@sampled
def test_continuations_have_their_plain_chances(kind: str) -> None:
    lm = tiny(kind)
    after = [(7,), (8, 9), (8, 10), (8, 10, 11)]
    found = dict(continuation_chances(wrap(lm, words(), kind), PROMPTS, after, floor=0))
    for number, ids in enumerate(PROMPTS):
        first, second = (torch.softmax(logits_of(lm, (*ids, *more))[-1], -1) for more in ((), (8,)))
        third = torch.softmax(logits_of(lm, (*ids, 8, 10))[-1], -1)
        wanted = [
            first[7],
            first[8] * second[9],
            first[8] * second[10] * (1 - third[11]),
            first[8] * second[10] * third[11],
        ]
        # Zamba 2 with its cache differs from itself without one by a few in a thousand.
        assert found[number] == pytest.approx([float(chance) for chance in wanted], rel=5e-3, abs=1e-6)


@pytest.mark.parametrize("kind", NO_SAMPLING)
def test_what_cannot_be_sampled_says_so_before_anything_runs(kind: str) -> None:
    lm = tiny(kind)
    lm.register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    model = wrap(lm, words(), "a model")
    with pytest.raises(ModelError, match=f"a model cannot be sampled: a model of the family {kind} "):
        sample(model, [Row(Prompt("0", PROMPTS[0]), Arm("base"))], SamplingConfig(4))
    with pytest.raises(ModelError, match="cannot be sampled"):
        list(continuation_chances(model, PROMPTS, [(7,)]))


def test_a_family_without_a_cache_of_its_own_kind_says_so() -> None:
    """OpenAI's first GPT takes no cache, and BART's decoder counts its positions itself."""
    small: dict[str, Any] = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    first: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["openai-gpt"](**small))
    small = {"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "decoder_attention_heads": 4}
    bart: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["bart"](**small, is_decoder=True))
    for lm, reason in ((first, "takes no cache"), (bart, "cannot be told where a row's tokens stand")):
        with pytest.raises(ModelError, match=reason):
            sample(wrap(lm.eval(), words(), "it"), [Row(Prompt("0", PROMPTS[0]), Arm("base"))], SamplingConfig(4))


def test_hyper_connections_are_no_one_stream() -> None:
    lm = tiny("llama")
    lm.config.model_type = "deepseek_v4"
    model = wrap(lm, words(), "it")
    with pytest.raises(ModelError, match="hyper-connections"):
        capture_means(model, [Text(PROMPTS[0], {"all": (0, 5)}, Arm("base"))], torch.ones(1, 1))
    with pytest.raises(ModelError, match="hyper-connections"):
        Program(model, [Arm("steered", None, (Steer(vector(1), (1,), 1.0),))])
