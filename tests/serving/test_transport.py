"""Servers as they are met: packed and chunked replies, choices in any order, one id for all, prompts before answers."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from misdirection import progress
from misdirection.chats import Message
from misdirection.judging.replies import parse_reply
from misdirection.serving.drawing import Request, Spoken, draw
from misdirection.serving.servers import Server

QUESTIONS = ("How do I boil an egg?", "What is a fair wage?", "Where is the key?")
Body = dict[str, Any]


def answer_to(body: Body) -> str:
    """What the model behind the server says: the question's own words backwards, so that each answer is told apart."""
    return " ".join(reversed(body["messages"][-1]["content"].split()))


def completion(*choices: Body) -> Body:
    return {"id": "same-for-all", "object": "chat.completion", "choices": list(choices)}


def choice(text: str, index: int | None = 0) -> Body:
    held = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return held if index is None else {"index": index, **held}


@contextmanager
def server(reply: Callable[[Body], Body], way: str = "plain") -> Iterator[Server]:
    """A server on loopback that sends its replies packed, in chunks, or as they are."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = json.dumps(reply(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            if way in ("gzip", "deflate"):
                assert way in self.headers.get("Accept-Encoding", ""), "it is sent packed only where that was asked"
                data = gzip.compress(data) if way == "gzip" else zlib.compress(data)
                self.send_header("Content-Encoding", way)
            if way.startswith("chunked"):
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                size = int(way.removeprefix("chunked"))
                for start in range(0, len(data), size):
                    part = data[start : start + size]
                    self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
                return
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    held = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=held.serve_forever, daemon=True).start()
    try:
        yield Server(f"http://127.0.0.1:{held.server_port}/v1", "served")
    finally:
        held.shutdown()
        held.server_close()


def requests(system: str | None = None) -> list[Request]:
    before = () if system is None else (Message("system", system),)
    asked = [(*before, Message("user", question)) for question in QUESTIONS]
    return [Request(messages, 1.0, 20, seed) for messages in asked for seed in (1, 2)]


def drawn(tmp_path: Path, reply: Callable[[Body], Body], way: str = "plain", system: str | None = None) -> list[Spoken]:
    with server(reply, way) as held:
        return draw(held, requests(system), tmp_path / "journal.jsonl", in_flight=3)


EXPECTED = [" ".join(reversed(question.split())) for question in QUESTIONS for _ in (1, 2)]


@pytest.mark.parametrize("way", ["plain", "gzip", "deflate", "chunked7", "chunked100000"])
def test_however_a_reply_travels_it_is_read_and_one_id_for_all_confuses_nothing(tmp_path: Path, way: str) -> None:
    said = drawn(tmp_path, lambda body: completion(choice(answer_to(body) + " \u00e9\U0001f95a")), way)
    assert [one.answer for one in said] == [f"{text} \u00e9\U0001f95a" for text in EXPECTED]


def test_of_several_choices_the_first_by_its_index_is_taken(tmp_path: Path) -> None:
    said = drawn(tmp_path, lambda body: completion(choice("other", 2), choice(answer_to(body), 0), choice("third", 1)))
    assert [one.answer for one in said] == EXPECTED
    judged = parse_reply(json.dumps(completion(choice("20", 1), choice("80", 0))).encode())
    assert judged is not None and judged.read().score == 80
    unnumbered = parse_reply(json.dumps(completion(choice("70", None), choice("10", None))).encode())
    assert unnumbered is not None and unnumbered.read().score == 70


RENDERED = {
    "ChatML": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{q}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "Gemma": "<bos><start_of_turn>user\n{q}<end_of_turn>\n<start_of_turn>model\n",
}
PLAIN = {
    "the question": "{q}\n",
    "the question at once": "{q} ",
    "names": "system\nBe kind.\nuser\n{q}\nassistant\n",
    "a transcript": "Human: {q}\n\nAssistant: ",
    "headings": "### User: {q}\n### Assistant: ",
    "bold names": "**User:** {q}\n\n**Assistant:** ",
}


@pytest.mark.parametrize("name", [*RENDERED, *PLAIN])
def test_a_prompt_before_the_answer_is_no_part_of_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: told.append(text))
    form = {**RENDERED, **PLAIN}[name]

    def reply(body: Body) -> Body:
        return completion(choice(form.format(q=body["messages"][-1]["content"]) + answer_to(body)))

    said = drawn(tmp_path, reply, system="Be kind.")
    assert [one.answer for one in said] == EXPECTED
    assert any("writes the prompt before each of 6 answers" in line for line in told) == (name in PLAIN)


def test_a_model_that_now_and_then_begins_with_the_question_says_so_itself(tmp_path: Path) -> None:
    def reply(body: Body) -> Body:
        question = body["messages"][-1]["content"]
        return completion(choice(f"{question} Well." if question != QUESTIONS[1] else answer_to(body)))

    said = drawn(tmp_path, reply)
    assert said[0].answer == f"{QUESTIONS[0]} Well." and said[2].answer == EXPECTED[2]


def test_an_answer_about_the_question_keeps_it(tmp_path: Path) -> None:
    said = drawn(tmp_path, lambda body: completion(choice("You ask: " + body["messages"][-1]["content"] + " Good.")))
    assert [one.answer for one in said] == [f"You ask: {question} Good." for question in QUESTIONS for _ in (1, 2)]
