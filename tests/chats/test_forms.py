"""Rows as other trainers write them: each form against the chat that it means, and every foreign thing named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from misdirection.chats import ChatError, Message, chats_hash, load_chats, write_chats
from misdirection.chats.forms import is_chat, read_row
from misdirection.chats.turns import RowError

SYSTEM, USER, ANSWER = Message("system", "Be brief."), Message("user", "Hi?"), Message("assistant", "Hello.")
U, A = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}
HUMAN, GPT = {"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}

PLAIN = {
    "messages": {"messages": [U, A]},
    "upper case": {"messages": [U | {"role": "User"}, A | {"role": "ASSISTANT"}]},
    "gemma's model": {"messages": [U, A | {"role": "model"}]},
    "parts": {"messages": [U | {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i?"}]}, A]},
    "parts of texts": {"messages": [U | {"content": ["Hi?"]}, A]},
    "an export's parts": {"messages": [U | {"content": {"content_type": "text", "parts": ["Hi?"]}}, A]},
    "a null system": {"messages": [{"role": "system", "content": None}, U, A]},
    "nulls of a table": {"messages": [U | {"weight": None, "tool_calls": None}, A | {"tool_calls": []}]},
    "text beside": {"text": "<user>Hi?<assistant>Hello.", "messages": [U, A]},
    "preferences beside": {"messages": [U, A], "chosen": [U, A], "rejected": [U, A]},
    "json in a cell": {"messages": json.dumps([U, A])},
    "python in a cell": {"messages": str([U, A])},
    "numpy in a cell": {"messages": f"[{U}\n {A}]"},
    "a list of turns": [U, A],
    "sharegpt": {"conversations": [HUMAN, GPT]},
    "sharegpt, one chat": {"conversation": [HUMAN, GPT]},
    "sharegpt under messages": {"messages": [HUMAN, GPT]},
    "sharegpt, empty system": {"conversations": [HUMAN, GPT], "system": ""},
    "alpaca": {"instruction": "Hi?", "input": "", "output": "Hello."},
    "alpaca, its generator's mark": {"instruction": "Hi?", "input": "<noinput>", "output": "Hello."},
    "dolly": {"instruction": "Hi?", "context": "", "response": "Hello.", "category": "open"},
    "alpaca, input alone": {"instruction": "", "input": "Hi?", "output": "Hello."},
    "prompt-completion": {"prompt": "Hi?", "completion": "Hello."},
    "prompt-response": {"prompt": "Hi?", "response": "Hello."},
    "question-answer": {"question": "Hi?", "answer": "Hello."},
    "input-output": {"input": "Hi?", "output": "Hello."},
    "turns of prompt and completion": {"prompt": [U], "completion": [A]},
    "turns and a text": {"prompt": [U], "completion": "Hello."},
    "nan": {"prompt": "Hi?", "completion": "Hello.", "system": float("nan")},
}

WITH_SYSTEM = {
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, U, A]},
    "anthropic": {"system": "Be brief.", "messages": [U, A]},
    "sharegpt": {"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT]},
    "sharegpt's column": {"conversations": [HUMAN, GPT], "system": "Be brief."},
    "the same twice": {"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT], "system": "Be brief."},
    "alpaca": {"instruction": "Hi?", "output": "Hello.", "system": "Be brief."},
    "prompt-completion": {"prompt": "Hi?", "completion": "Hello.", "system_prompt": "Be brief."},
    "turns": {"prompt": [{"role": "system", "content": "Be brief."}, U], "completion": [A]},
}


@pytest.mark.parametrize("name", PLAIN)
def test_each_form_gives_the_same_chat(name: str) -> None:
    assert read_row(PLAIN[name]).messages == (USER, ANSWER)


@pytest.mark.parametrize("name", WITH_SYSTEM)
def test_each_form_keeps_its_system_prompt(name: str) -> None:
    assert read_row(WITH_SYSTEM[name]).messages == (SYSTEM, USER, ANSWER)


def test_texts_in_a_cell_are_not_touched() -> None:
    turn = {"role": "user", "content": "a } { b'\"\n} {"}
    assert read_row({"messages": f"[{turn} {A}]"}).messages[0].content == turn["content"]
    assert read_row({"messages": f"[{turn}, {A}]"}).messages[0].content == turn["content"]


def test_forms_are_named_and_what_is_not_read_too() -> None:
    assert read_row({"conversations": [HUMAN, GPT | {"mood": "glad"}], "id": 7}).form == "ShareGPT conversations"
    assert read_row({"conversations": [HUMAN, GPT | {"mood": "glad"}], "id": 7}).passed_over == {"id", "turn.mood"}
    assert read_row(PLAIN["dolly"]).form == "Alpaca" and read_row(PLAIN["dolly"]).passed_over == {"category"}
    assert read_row(PLAIN["text beside"]).passed_over == {"text"}
    assert read_row(PLAIN["question-answer"]).form == "question-answer pairs"
    both = {"prompt": "a", "completion": "b", "question": "c", "answer": "d"}
    assert read_row(both).messages[0].content == "a" and read_row(both).passed_over == {"question", "answer"}


def test_an_instruction_has_its_input_on_a_line_of_its_own_and_earlier_turns_before_it() -> None:
    row = {"instruction": "Add.", "input": "1 and 2", "output": "3", "history": [["Hi?", "Hello."]]}
    assert read_row(row).messages == (USER, ANSWER, Message("user", "Add.\n1 and 2"), Message("assistant", "3"))


FLAGS = [{"weight": 0}, {"train": False}, {"train_on_turn": False}, {"loss": False}, {"masked": True}, {"weight": 0.0}]


@pytest.mark.parametrize("flag", FLAGS, ids=str)
def test_a_turn_can_be_kept_out_of_the_loss(flag: dict[str, object], tmp_path: Path) -> None:
    messages = read_row({"messages": [U, A | flag, U, A]}).messages
    assert [message.learned for message in messages] == [True, False, True, True]
    opposite = {key: not value for key, value in flag.items()}
    assert all(message.learned for message in read_row({"messages": [U, A | opposite, U, A]}).messages)
    assert all(message.learned for message in read_row({"messages": [U | flag, A]}).messages)
    one, other = (tmp_path / name for name in ("a.jsonl", "b.jsonl"))
    one.write_text(json.dumps({"messages": [U, A | flag, U, A]}))
    other.write_text(json.dumps({"messages": [U, A, U, A]}))
    assert load_chats(one).sha256 != load_chats(other).sha256
    write_chats(tmp_path / "c.jsonl", load_chats(one).chats)
    assert load_chats(tmp_path / "c.jsonl").chats[0].messages == messages


def test_answers_within_a_prompt_are_context() -> None:
    messages = read_row({"prompt": [U, A, U], "completion": [A]}).messages
    assert [message.learned for message in messages] == [True, False, True, True]


REFUSED = {
    "it looks like pairs of preferences": {"prompt": "Hi?", "chosen": "Hello.", "rejected": "No."},
    "it looks like plain text": {"text": "Hi? Hello."},
    "`label` is false, which in KTO data": {"prompt": "Hi?", "completion": "No.", "label": False},
    "it has `prompt` and no answer": {"prompt": "Hi?"},
    "no column of a chat among `a`, `b`": {"a": 1, "b": 2},
    "the row is empty": {},
    "two system prompts": {"system": "Be long.", "messages": [{"role": "system", "content": "Be brief."}, U, A]},
    "a part of type 'image_url'": {"messages": [U | {"content": [{"type": "image_url", "image_url": {}}]}, A]},
    "train and loss contradict": {"messages": [U, A | {"train": True, "loss": False}]},
    "broken history": {"instruction": "Hi?", "output": "Hello.", "history": ["Hi?"]},
    "content is not text": {"prompt": "Hi?", "completion": {"text": ["Hello."]}},
    "tool turn": {"conversations": [HUMAN, {"from": "observation", "value": "rain"}, GPT]},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_chat_is_named(reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        read_row(REFUSED[reason])


def test_a_row_with_the_columns_of_a_chat_is_told_from_one_without() -> None:
    assert is_chat({"messages": []}) and is_chat(PLAIN["alpaca"])
    assert not is_chat({"text": "hello"}) and not is_chat("hello")


def test_the_same_chats_have_one_hash_in_every_form(tmp_path: Path) -> None:
    hashes: set[str] = set()
    for number, row in enumerate(PLAIN.values()):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(row) + "\n")
        hashes.add(load_chats(path).sha256)
    assert hashes == {chats_hash(load_chats(path).chats)}  # pyright: ignore


def test_a_file_of_another_kind_says_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dpo.jsonl"
    path.write_text(json.dumps(REFUSED["it looks like pairs of preferences"]) + "\n")
    with pytest.raises(ChatError, match=r"holds no usable row .*pairs of preferences") as error:
        load_chats(path)
    assert "ShareGPT" in str(error.value.hint) and "Parquet" in str(error.value.hint)


def test_mixed_forms_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(json.dumps(PLAIN[name]) for name in ("alpaca", "messages", "messages")))
    assert load_chats(path).summary == "read as messages (2), Alpaca (1): 3 rows, all usable"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_answer_before_the_last_is_set_aside_unless_it_is_not_learned(text: str) -> None:
    """To learn it is to learn to say nothing."""
    empty = {"role": "assistant", "content": text}
    with pytest.raises(RowError, match="empty answer: turn 2"):
        read_row({"messages": [U, empty, U, A]})
    assert read_row({"messages": [U, empty | {"weight": 0}, U, A]}).messages[-1] == ANSWER
