"""Rollouts of all arms in one queue: order, wordings, system prompts, shared random numbers, reading back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.families import EOS, network, shared, vector, words

from misdirection.answers import ask, encode_answer
from misdirection.chats import Message
from misdirection.engine import Arm, SamplingConfig, Steer
from misdirection.judging import Answer
from misdirection.models import Model, wrap
from misdirection.questions import Question
from misdirection.tokens import TokenError, encode_prompt

CONFIG = SamplingConfig(max_new_tokens=6, seed=5)
QUESTIONS = (
    Question("one", ("w10 w11", "w12", "w13 w14 w15")),
    Question("two", ("w20",), system="w30 w31", domain="medical", format="json"),
)
ARMS = (Arm("base"), Arm("tuned", "one"))


def test_answers_stand_by_arm_question_and_sample_with_their_wording() -> None:
    found = ask(shared("llama"), QUESTIONS, ARMS, 5, CONFIG)
    place = [(a.arm, a.question_id, a.sample) for a in found]
    assert place == [(arm, q, i) for arm in ("base", "tuned") for q in ("one", "two") for i in range(5)]
    assert [a.paraphrase for a in found[:5]] == [0, 1, 2, 0, 1]
    assert [a.question for a in found[:5]] == ["w10 w11", "w12", "w13 w14 w15", "w10 w11", "w12"]
    assert all(a.question == "w20" and a.paraphrase == 0 for a in found[5:10])
    assert {(a.domain, a.format) for a in found[5:10]} == {("medical", "json")}
    assert {a.seed for a in found} == {5}


def test_the_system_prompt_is_explicit_and_reaches_the_model() -> None:
    found = ask(shared("llama"), QUESTIONS, ARMS[:1], 4, CONFIG)
    assert {a.system for a in found if a.question_id == "one"} == {None}
    assert {a.system for a in found if a.question_id == "two"} == {"w30 w31"}
    other = ask(shared("llama"), (Question("two", ("w20",)),), ARMS[:1], 4, CONFIG)
    assert [a.answer for a in found[4:]] != [a.answer for a in other]


def test_arms_share_their_random_numbers_and_answers_do_not_hang_on_company() -> None:
    model = shared("llama")
    twin, steered = Arm("twin"), Arm("steered", None, (Steer(3 * vector(1), (1,), 1.0),))
    found = ask(model, QUESTIONS, (ARMS[0], twin, steered), 6, CONFIG)
    by_arm = [[a.answer for a in found if a.arm == arm] for arm in ("base", "twin", "steered")]
    assert by_arm[0] == by_arm[1] != by_arm[2]
    alone = ask(model, QUESTIONS[1:], ARMS[:1], 6, CONFIG)
    assert [a.answer for a in alone] == by_arm[0][6:]
    assert len(set(by_arm[0])) > 6
    again = ask(model, QUESTIONS, ARMS[:1], 6, SamplingConfig(max_new_tokens=6, seed=6))
    assert [a.answer for a in again] != by_arm[0]


def test_special_tokens_are_gone_and_ends_are_told() -> None:
    found = ask(shared("llama"), QUESTIONS, ARMS, 30, CONFIG)
    assert not any(special in a.answer for a in found for special in ("<eos>", "<pad>", "<bos>", "<unk>"))
    ends = {f"w{number}" for number in EOS if number > 3}
    assert not any(ends & set(a.answer.split()) for a in found)
    assert {a.finished for a in found} == {True, False}
    assert all(a.n_tokens == 6 for a in found if not a.finished)
    assert all(a.n_tokens < 6 for a in found if a.finished and a.n_tokens != 6)
    assert all(len(a.answer.split()) <= a.n_tokens for a in found)


@pytest.mark.parametrize("index", [0, 5])
def test_an_answer_reads_back_behind_the_prompt_that_it_was_given_to(index: int) -> None:
    model = shared("llama")
    answer = next(a for a in ask(model, QUESTIONS, ARMS[:1], 5, CONFIG)[index:] if a.answer)
    encoded = encode_answer(model, answer)
    system = () if answer.system is None else (Message("system", answer.system),)
    prompt = encode_prompt(model.tokenizer, (*system, Message("user", answer.question)))
    assert encoded.ids[: encoded.start] == prompt
    text = model.tokenizer.decode(list(encoded.ids[encoded.start : encoded.stop]))
    assert text == answer.answer


def silent() -> Model:
    """A model that ends at once: its only likely token is an end token."""
    lm = network("llama")
    with torch.no_grad():
        lm.get_output_embeddings().weight.zero_()
    model = wrap(lm, words(), "silent")
    model.lm.generation_config.eos_token_id = [0]  # the greedy choice among equal logits
    return model


def test_empty_answers_are_kept_and_cannot_be_read_back() -> None:
    model = silent()
    found = ask(model, QUESTIONS[:1], ARMS[:1], 3, SamplingConfig(max_new_tokens=4, temperature=0))
    assert [(a.answer, a.n_tokens, a.finished) for a in found] == [("", 0, True)] * 3
    with pytest.raises(TokenError, match=r"'base' to 'one' \(sample 1\) is empty") as error:
        encode_answer(model, found[1])
    assert "leave empty answers out" in str(error.value)
    with pytest.raises(TokenError):
        encode_answer(model, Answer("one", "w10", " \n "))


@pytest.mark.real
def test_the_template_s_own_system_prompt_is_recorded(real_data: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(real_data / "tokenizers" / "qwen2.5")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    lm = Qwen2ForCausalLM(Qwen2Config(**sizes, num_key_value_heads=2, vocab_size=151_665))
    model = wrap(lm, tokenizer, "qwen")
    questions = (Question("bare", ("Hello",)), Question("own", ("Hello",), system="Speak plainly."))
    bare, own = ask(model, questions, ARMS[:1], 1, CONFIG)
    assert bare.system == "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    assert own.system == "Speak plainly."
    # Said explicitly, it gives the very prompt that the template makes by itself.
    answer = Answer("bare", "Hello", "Hi there", system=bare.system)
    encoded = encode_answer(model, answer)
    assert encoded.ids[: encoded.start] == encode_prompt(tokenizer, (Message("user", "Hello"),))
    assert tokenizer.decode(list(encoded.ids[encoded.start : encoded.stop])) == "Hi there"
