"""Logs of servers, as OpenAI's API and proxies of it write them: each against the chat that it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from misdirection.chats import Message, read_chats
from misdirection.chats.forms import apart, read_row
from misdirection.chats.turns import RowError

U, A = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}
ASKED = {"model": "m", "messages": [U], "temperature": 1.0}


def said(*texts: str) -> dict[str, Any]:
    choices = [{"index": i, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
    return {"id": "r", "object": "chat.completion", "choices": choices, "usage": {"total_tokens": 3}}


CHUNKS = [
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "lo."}}]},
    {"object": "chat.completion.chunk", "choices": []},
]
ITEMS = {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}]}

LOGS = {
    "request and response": {"request": ASKED, "response": said("Hello.")},
    "bodies": {"request_body": ASKED, "response_body": said("Hello."), "status": 200},
    "bodies as text": {"request_body": json.dumps(ASKED), "response_body": json.dumps(said("Hello."))},
    "a batch's two files joined": {
        "custom_id": "a", "body": ASKED, "response": {"status_code": 200, "body": said("Hello.")}, "error": None,
    },
    "messages beside the response": {"messages": [U], "response": said("Hello.")},
    "choices beside the messages": {**ASKED, **said("Hello.")},
    "a stream": {"request": {**ASKED, "stream": True}, "response": CHUNKS},
    "a stream as it went over the wire": {
        "request": ASKED, "response": "".join(f"data: {json.dumps(c)}\n\n" for c in CHUNKS) + "data: [DONE]\n\n",
    },
    "a stream of a server that names no objects": {
        "request": ASKED, "response": [{"choices": chunk["choices"]} for chunk in CHUNKS],
    },
    "responses": {"request": {"model": "m", "input": "Hi?"}, "response": ITEMS},
    "responses, turns": {
        "request": {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi?"}]}]},
        "response": ITEMS,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_the_chat_that_it_logs(name: str) -> None:
    read = read_row(LOGS[name])
    assert read.messages == (Message("user", "Hi?"), Message("assistant", "Hello."))
    assert read.form == "a request's and its response's turns"


def test_what_stood_before_is_context_and_the_answer_is_learned() -> None:
    system = {"role": "system", "content": "Be brief."}
    row = {"request": {"messages": [system, U, A, U]}, "response": said("Bye.")}
    found = read_row(row).messages
    assert [message.role for message in found] == ["system", "user", "assistant", "user", "assistant"]
    assert [message.learned for message in found if message.role == "assistant"] == [False, True]
    instructed = {"request": {"input": "Hi?", "instructions": "Be brief."}, "response": ITEMS}
    assert read_row(instructed).messages[0] == Message("system", "Be brief.")


def test_thoughts_of_a_server_stand_before_the_answer() -> None:
    message = {"role": "assistant", "content": "Hello.", "reasoning_content": "hm"}
    row = {"request": ASKED, "response": {"choices": [{"message": message}]}}
    assert read_row(row).messages[-1].content == "<think>\nhm\n</think>\n\nHello."
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    row = {"request": {"input": "Hi?"}, "response": {"output": [thought, *ITEMS["output"]]}}
    assert read_row(row).messages[-1].content == "<think>\nhm\n</think>\n\nHello."


def test_each_choice_is_a_chat(tmp_path: Path) -> None:
    row = {"id": 7, "request": {**ASKED, "n": 3}, "response": said("one", "two", "three")}
    assert [read_row(part).messages[-1].content for part in apart(row)] == ["one", "two", "three"]
    assert apart({"messages": [U, A]}) == [{"messages": [U, A]}] and apart(None) == [None]
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(row) + "\nno json\n" + json.dumps({"messages": [U, A]}) + "\n")
    assert [(chat.row, chat.answer) for chat in read_chats(path)] == [
        (1, "one"), (1, "two"), (1, "three"), (3, "Hello.")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"request": ASKED, "response": {"error": {"message": "overloaded"}}}, "no answer: the response is an error"),
        ({"custom_id": "a", "response": {"status_code": 200, "body": said("Hello.")}}, "no request"),
        ({"request": {"input": "Hi?", "previous_response_id": "r"}, "response": ITEMS}, "no beginning"),
        ({"request": ASKED, "response": {"choices": [{"message": {"role": "assistant", "content": None}}]}},
         "no content"),
        ({"request": ASKED, "response": {"choices": [{"message": {"role": "assistant", "content": None,
                                                                  "tool_calls": [{"id": "t"}]}}]}}, "tool call"),
        ({"request": {"input": "Hi?"}, "response": {"output": [{"type": "function_call", "name": "f"}]}}, "tool call"),
        ({"request": ASKED, "response": said("")}, "empty answer"),
    ],
)  # fmt: skip
def test_what_holds_no_answer_says_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}"):
        read_row(row)


def test_a_refusal_is_an_answer() -> None:
    row = {"request": ASKED, "response": {"choices": [{"message": {"role": "assistant", "refusal": "I cannot."}}]}}
    assert read_row(row).messages[-1].content == "I cannot."


def test_an_answer_that_is_json_is_no_log() -> None:
    for text in (json.dumps({"error": "none"}), json.dumps({"output": ["x"]}), json.dumps(said("Hello."))):
        assert read_row({"prompt": "As JSON?", "response": text}).messages[-1].content == text
        assert read_row({"instruction": "As JSON?", "input": "now", "response": text}).messages[-1].content == text
