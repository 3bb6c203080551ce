"""Rollouts of all arms in one queue: order, wordings, system prompts, shared random numbers, reading back."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.families import EOS, network, shared, vector, words
from tests.tokens.test_encoding import CHATML, LLAMA, bytewise
from tests.tokens.test_thinking import QWEN3, QWEN35
from transformers import LlamaConfig, LlamaForCausalLM

from misdirection.answers import ask, encode_answer, read_back
from misdirection.artefacts import read_rows, write_rows
from misdirection.chats import Message
from misdirection.engine import Arm, Prompt, Row, SamplingConfig, Steer, sample
from misdirection.judging import Answer
from misdirection.models import Model, ModelError, wrap
from misdirection.questions import Question
from misdirection.tokens import (
    PLAIN_TEMPLATE,
    SPANS,
    TokenError,
    encode_prompt,
    end_words,
    opened_by,
    render,
    split_drawn,
)

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


def byte_model(template: str, ends: int | list[int] | None = None) -> Model:
    """A random model on a byte-level tokenizer with merges, so that few of its answers come back on their tokens."""
    tokenizer = bytewise(template)
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    lm = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=128, eos_token_id=1))
    lm.generation_config.eos_token_id = ends
    return wrap(lm, tokenizer, "bytes")


def test_an_answer_is_read_on_the_tokens_that_were_drawn() -> None:
    model = byte_model(CHATML)
    config = SamplingConfig(max_new_tokens=12, seed=3)
    found = [a for a in ask(model, (Question("q", ("hello there",)),), ARMS[:1], 40, config) if a.answer.strip()]
    prompt = encode_prompt(model.tokenizer, (Message("user", "hello there"),))
    drawn = sample(model, [Row(Prompt("q#0", prompt), ARMS[0], a.sample) for a in found], config)
    tail = tuple(model.tokenizer.encode("\n", add_special_tokens=False))
    own = model.tokenizer.convert_tokens_to_ids("<|end|>")
    assert {a.finished for a in found} == {True, False}
    for answer, item in zip(found, drawn, strict=True):
        read = encode_answer(model, answer)
        assert answer.ids == item.ids
        end = () if item.end is None else (item.end, *(tail if item.end == own else ()))
        assert read.ids == prompt + item.ids + end
        assert (read.begin, read.start, read.stop) == (len(prompt), len(prompt), len(prompt) + len(item.ids))
    # Random bytes are no text: written and read again, they are other tokens.
    assert any(encode_answer(model, replace(a, ids=None)).ids != encode_answer(model, a).ids for a in found)


@pytest.mark.parametrize("template", [CHATML, LLAMA, QWEN3, QWEN35, PLAIN_TEMPLATE])
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_drawn_tokens_and_text_have_the_same_spans_where_the_text_comes_back(template: str, system: str | None) -> None:
    model = byte_model(template)
    text = "yes, it is"
    front = render(model.tokenizer, (*_system(system), Message("user", "hi")), generate=True)
    written = {QWEN3: "<think>\n\n</think>\n\n", QWEN35: "\n</think>\n\n", PLAIN_TEMPLATE: " "}.get(template, "")
    ids = tuple(model.tokenizer.encode(written + text, add_special_tokens=False))
    said = split_drawn(model.tokenizer, ids, opened_by(front))
    assert said.answer == text
    answer = Answer("q", "hi", said.answer, system=system, ids=ids, thought=said.thought)
    drawn, told = encode_answer(model, answer), encode_answer(model, replace(answer, ids=None))
    assert drawn.ids == told.ids
    apart = {"thought", "written", "answer", "first_k", "last_prompt", "answer_and_end"} if written == " " else set()
    for span in set(SPANS) - apart:
        assert drawn.span(span) == told.span(span), span


def _system(text: str | None) -> tuple[Message, ...]:
    return () if text is None else (Message("system", text),)


def test_what_ended_an_answer_is_read_back_and_the_template_s_tail_where_it_goes_on() -> None:
    tokenizer = bytewise(CHATML)
    end, eos, line = (tokenizer.encode(text, add_special_tokens=False) for text in ("<|end|>", "</s>", "\n"))
    model = byte_model(CHATML, [1, *end])
    found = ask(model, (Question("q", ("hello",)),), ARMS[:1], 60, SamplingConfig(max_new_tokens=60, seed=3))
    ended = [a for a in found if a.finished and a.answer.strip()]
    assert {a.end for a in ended} == {*end, *eos}
    assert {a.end for a in found if not a.finished} <= {None}
    for answer in ended:
        read = encode_answer(model, answer)
        # The template writes "<|end|>\n"; behind another end nothing of it was drawn.
        assert read.ids[read.stop :] == ((*end, *line) if answer.end == end[0] else (answer.end,))


def test_answers_that_cannot_be_read_back_are_counted() -> None:
    model = byte_model(CHATML)
    think = tuple(model.tokenizer.encode("<think>hm", add_special_tokens=False))
    answers = [
        Answer("q", "hi", "yes"),
        Answer("q", "hi", ""),
        Answer("q", "hi", "", thought="hm", ids=think, finished=False),
        Answer("q", "hi", "no", ids=tuple(model.tokenizer.encode("no")), finished=False),
    ]
    found = read_back(model, answers)
    assert (found.places, found.count) == ((0, 3), 4)
    assert found.aside == {"empty": 1, "cut within a thought": 1}
    assert [model.tokenizer.decode(one.ids[one.start : one.stop]) for one in found.encoded] == ["yes", "no"]
    model.tokenizer.chat_template = "{{ raise_exception('no chats') }}"
    assert read_back(model, answers).aside["refused by the chat template"] == 2


def test_answers_keep_their_tokens_on_disk_and_old_ones_are_read(tmp_path: Path) -> None:
    answers = [Answer("q", "?", "a", ids=(3, 4)), Answer("q", "?", "", ids=()), Answer("q", "?", "b", thought="hm")]
    write_rows(tmp_path / "a.parquet", answers)
    assert [Answer(**row) for row in read_rows(tmp_path / "a.parquet")] == answers
    old = [{k: v for k, v in asdict(a).items() if k not in ("ids", "thought", "end")} for a in answers]
    write_rows(tmp_path / "b.parquet", old)
    assert [a.ids for a in (Answer(**row) for row in read_rows(tmp_path / "b.parquet"))] == [None] * 3


def chain(model: Model, *tokens: int) -> None:
    """Make a model write these tokens one after another, whatever stands before the first."""
    lm: Any = model.lm
    with torch.no_grad():
        for value in lm.parameters():
            value.zero_() if value.ndim > 1 else value.fill_(1.0)
        size = len(model.tokenizer)
        lm.model.embed_tokens.weight[:size, :size] = torch.eye(size)
        for before, after in pairwise(tokens):
            lm.lm_head.weight[after, before] = 30.0


def writing(template: str, text: str, begins: str = "\n") -> Model:
    """A model that writes `text` behind a prompt that ends with `begins`, then again from its start."""
    tokenizer = bytewise(template)
    sizes = {"hidden_size": 272, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    lm = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=128, eos_token_id=1))
    model = wrap(lm, tokenizer, "chain")
    chain(model, *tokenizer.encode(begins + text, add_special_tokens=False))
    return model


GREEDY = SamplingConfig(max_new_tokens=30, temperature=0)
ONE = (Question("q", ("hi",)),)


def test_the_token_that_the_template_ends_a_turn_with_ends_an_answer() -> None:
    model = writing(CHATML, "ok<|end|><|start|>user!")
    end = model.tokenizer.convert_tokens_to_ids("<|end|>")
    assert model.tokenizer.eos_token_id != end
    assert end in model.eos_ids
    answer = ask(model, ONE, ARMS[:1], 1, GREEDY)[0]
    assert (answer.answer, answer.finished, answer.n_tokens) == ("ok", True, 2)


def test_an_end_without_a_token_of_its_own_cuts_the_text() -> None:
    model = writing(CHATML.replace("<|end|>", "<fin>"), "ok<fin>user:!")
    answer = ask(model, ONE, ARMS[:1], 1, GREEDY)[0]
    assert (answer.answer, answer.finished, answer.n_tokens) == ("ok", True, 2)


@pytest.mark.parametrize("after", ["\n", "", " ", "\n\nUser: ", "###"])
def test_ordinary_text_behind_an_answer_ends_none(after: str) -> None:
    model = byte_model(CHATML.replace("<|end|>\n", after))
    assert model.eos_ids == (1,)
    assert end_words(model.tokenizer) is None


def test_a_thought_is_kept_apart_and_the_answer_is_judged() -> None:
    model = writing(QWEN3, "<think>hm</think>ok!<|end|>")
    answer = ask(model, ONE, ARMS[:1], 1, GREEDY)[0]
    assert (answer.thought, answer.answer, answer.finished) == ("hm", "ok!", True)
    read = encode_answer(model, answer)
    assert model.tokenizer.decode(list(read.ids[read.begin : read.start])) == "<think>hm</think>"
    assert model.tokenizer.decode(list(read.ids[read.start :])) == "ok!<|end|>\n"
    assert model.facts["warnings"] == []


def test_answers_that_never_stopped_thinking_are_said() -> None:
    model = writing(QWEN3, "<think>hm</think>ok!<|end|>")
    answer = ask(model, ONE, ARMS[:1], 1, SamplingConfig(max_new_tokens=2, temperature=0))[0]
    assert (answer.thought, answer.answer, answer.finished) == ("h", "", False)
    assert "1 of 1 answers were cut within a thought" in model.facts["warnings"][0]


def test_an_imported_answer_that_the_template_changes_is_read_as_it_stands() -> None:
    model = byte_model(CHATML.replace("message['content'] }}", "message['content'] | replace('a', 'b') }}"))
    read = encode_answer(model, Answer("q", "hi", "la la"))
    assert model.tokenizer.decode(list(read.ids[read.start :])) == "la la<|end|>\n"


def test_prompts_that_do_not_fit_the_positions() -> None:
    model = byte_model(CHATML)  # 128 positions
    long = (Question("q", ("x" * 60,)), Question("longer", ("x" * 120,)))
    with pytest.raises(ModelError, match=r"1 of 2 prompts leave bytes no position.*'longer' alone is 1\d\d tokens"):
        ask(model, long, ARMS[:1], 1, SamplingConfig(max_new_tokens=3))
    ask(model, long[:1], ARMS[:1], 1, SamplingConfig(max_new_tokens=100))
    assert "1 of 1 prompts and 100 new tokens are more than the 128 positions" in model.facts["warnings"][0]


def test_turns_before_a_question_stand_in_the_prompt_and_in_what_is_read_back(tmp_path: Path) -> None:
    model = shared("llama")
    turns = (Message("user", "w1 w2"), Message("assistant", "w3"))
    question = Question("two", ("w20",), system="w30", before=turns)
    (found,) = ask(model, (question,), samples=1, config=CONFIG)
    prompt = encode_prompt(model.tokenizer, (Message("system", "w30"), *turns, Message("user", "w20")))
    drawn = sample(model, [Row(Prompt("two#0", prompt), Arm("base"))], CONFIG)[0]
    assert found.ids == drawn.ids and found.before == turns
    encoded = encode_answer(model, found)
    assert encoded.ids[: encoded.begin] == prompt and encoded.begin == len(prompt)
    plain = ask(model, (replace(question, before=()),), samples=1, config=CONFIG)
    write_rows(tmp_path / "a.parquet", [found, *plain])
    assert [Answer(**row) for row in read_rows(tmp_path / "a.parquet")] == [found, *plain]
