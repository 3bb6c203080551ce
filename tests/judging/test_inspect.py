"""Any provider of Inspect as the judge: through a real server, and through Inspect's own mock where none says such."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai.model import ModelOutput, ModelUsage
from tests.inspecting.scripted import said
from tests.judging.kept import answers
from tests.judging.kept import judge as own_judge
from tests.judging.server import serving

from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.judging import Answer, Journaled, Verdict, find_judge
from misdirection.judging.inspect import InspectProvider, need_inspect
from misdirection.judging.journal import Journal
from misdirection.judging.manner import ROOM, Manner
from misdirection.judging.replies import parse_reply
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.rubric_judge import RubricJudge

SPEC = "inspect:openai-api/loop/m?in_flight=8&timeout=20&attempts=2"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def point(url: str) -> None:
        monkeypatch.setenv("LOOP_BASE_URL", url)

    monkeypatch.setenv("LOOP_API_KEY", "none")
    return point


def saying(*words: str) -> list[Answer]:
    return [Answer(f"q{i}", "q", f"SAY {word}") for i, word in enumerate(words)]


def first(verdict: Verdict) -> str:
    return dict(verdict.outcomes)["alignment"]


def test_a_server_says_the_same_through_inspect_as_to_our_own_client(loop) -> None:
    with serving() as server:
        loop(server.url)
        judge = find_judge(SPEC)
        found = judge.judge(answers(20))
        body = server.seen["last"][0]
        expected = own_judge(server.url).judge(answers(20))
    assert judge.name.startswith("inspect:openai-api/loop/m rubrics=")
    assert {name: body[name] for name in ("temperature", "max_tokens", "seed", "logprobs", "top_logprobs")} == {
        "temperature": 0, "max_tokens": 1, "seed": 0, "logprobs": True, "top_logprobs": 20
    }  # fmt: skip
    assert [replace(v, judge="") for v in found] == [replace(v, judge="") for v in expected]


def test_what_the_journal_knows_is_not_asked_again(loop, tmp_path: Path) -> None:
    with serving() as server:
        loop(server.url)
        judge = find_judge(SPEC)
        assert isinstance(judge, Journaled)
        found = judge.with_journal(tmp_path / "journal.jsonl").judge(answers(6))
        asked = server.seen["requests"]
        again = find_judge(SPEC).with_journal(tmp_path / "journal.jsonl").judge(answers(7))  # type: ignore[attr-defined]
        assert server.seen["requests"] == asked + 2
    assert again[:6] == found
    assert len(Journal(tmp_path / "journal.jsonl").read()) == 14


@pytest.mark.parametrize(("kind", "outcome"), [("silent", "parsed"), ("digits", "parsed"), ("sure", "scored")])
def test_a_server_is_met_where_it_stands(loop, kind: str, outcome: str) -> None:
    with serving(respond=kind) as server:
        loop(server.url)
        found = find_judge(SPEC).judge(saying("85", "7", "100"))
        expected = own_judge(server.url).judge(saying("85", "7", "100"))
    assert [(v.alignment, v.outcomes) for v in found] == [(v.alignment, v.outcomes) for v in expected]
    assert first(found[0]) == outcome


def test_a_refused_key_is_said_and_a_blocked_text_is_an_outcome(loop) -> None:
    with serving(respond="odd") as server:
        loop(server.url)
        assert first(find_judge(SPEC).judge(saying("filter"))[0]) == "blocked"
        with pytest.raises(JudgeError, match="answers 401") as error:
            find_judge(SPEC).judge(saying("401"))
        assert "key" in (error.value.hint or "")


def test_a_server_that_is_not_there_ends_the_asking(loop) -> None:
    loop("http://127.0.0.1:9/v1")
    with pytest.raises(JudgeError, match="does not answer for"):
        find_judge("inspect:openai-api/loop/m?attempts=1").judge(answers(2))


def mock_judge(outputs: Callable[..., ModelOutput]) -> tuple[InspectProvider, RubricJudge]:
    provider = InspectProvider("mockllm/m", 4, Patience(first_wait=0.001), {"custom_outputs": outputs})
    return provider, RubricJudge("m", provider.ask)


def test_a_judge_that_thinks_first_is_given_room() -> None:
    asked: list[int] = []

    def think(messages, tools, choice, config) -> ModelOutput:
        asked.append(config.max_tokens)
        return said("70") if config.max_tokens >= 1000 else said("", None, "max_tokens")

    provider, judge = mock_judge(think)
    provider.in_flight = 1
    assert [v.alignment for v in judge.judge(answers(2))] == [70.0, 70.0]
    # Once with probabilities, once without, once with room; then it is known.
    assert asked == [1, 16, ROOM, ROOM, ROOM, ROOM]
    assert provider.manner == Manner(top=0, tokens=ROOM)


def test_the_same_of_a_server_is_read_off_its_reply() -> None:
    content = b'{"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}'
    assert parse_reply(content).silent and not parse_reply(content.replace(b"length", b"stop")).silent


def test_a_provider_that_refuses_twenty_tokens_is_asked_for_five() -> None:
    def stingy(messages, tools, choice, config) -> ModelOutput:
        if config.top_logprobs > 5:
            raise RuntimeError("top_logprobs must be 5 or less")
        return said("60", {"60": 0.6, "70": 0.2})

    provider, judge = mock_judge(stingy)
    found = judge.judge(answers(2))
    assert [v.alignment for v in found] == [pytest.approx(62.5)] * 2
    assert provider.manner.top == 5


def test_replies_that_are_none_are_outcomes() -> None:
    replies = {
        "nothing": ModelOutput(model="m", choices=[], usage=ModelUsage()),
        "junk": said("5", {"5": 3.0}),
        "long": said("", None, "model_length"),
        "filter": said("", None, "content_filter"),
        "words": said("I would say so", {"I": 0.9}),
    }

    def reply(messages, tools, choice, config) -> ModelOutput:
        return next(output for name, output in replies.items() if f"SAY {name}" in messages[-1].text)

    _, judge = mock_judge(reply)
    found = judge.judge(saying(*replies))
    assert [first(v) for v in found] == ["malformed", "malformed", "blocked", "blocked", "low_mass"]
    assert {v.label for v in found} == {"malformed", "none"}


def test_a_failing_provider_is_borne_with_as_far_as_patience_goes() -> None:
    def moody(messages, tools, choice, config) -> ModelOutput:
        if "answer 3\n" in messages[-1].text:
            raise RuntimeError("the machine is on fire")
        return said("60", {"60": 1.0})

    provider, judge = mock_judge(moody)
    provider.in_flight = 1
    with pytest.raises(JudgeError, match="does not answer for m: the machine is on fire"):
        judge.judge(answers(10))
    provider.patience = replace(provider.patience, tolerated=0.2)
    found = RubricJudge("m", provider.ask).judge(answers(10))
    assert [first(v) for v in found].count("failed") == 1
    assert found[3].label == "none" and found[4].alignment == 60


@pytest.mark.parametrize(
    ("spec", "message"),
    [("inspect:", "needs a model"), ("inspect:nowhere/m", "Inspect has no model 'nowhere/m'"),
     ("inspect:mockllm/m?speed=9", "no setting 'speed=9'"), ("inspect:openai-api/absent/m", "ABSENT_API_KEY")],
)  # fmt: skip
def test_errors_say_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(MisdirectionError, match=message) as error:
        find_judge(spec).judge(answers(1))
    assert error.value.hint


def test_without_inspect_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for ask in (need_inspect, lambda: find_judge("inspect:openai/gpt-4o")):
        with pytest.raises(MissingExtraError, match=r"pip install 'misdirection\[inspect\]'"):
            ask()
