"""Only what the judge said is kept: everything else passes, is waited out, and is asked again by a later run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.judging.kept import QUICK, answers, judge
from tests.judging.server import PASSING, serving
from tests.judging.test_provider import outcomes, saying

from misdirection.judging import Answer, find_judge
from misdirection.judging.faults import ServerAnswer
from misdirection.judging.journal import Journal
from misdirection.judging.ping import ping
from misdirection.judging.replies import parse_reply
from misdirection.judging.retries import JudgeError, Patience
from misdirection.judging.scoring import Reading


def test_every_fault_that_passes_is_waited_out_like_a_status(tmp_path: Path) -> None:
    with serving(respond="passing") as server:
        verdicts = judge(server.url, tmp_path / "j").judge(saying(*PASSING))
        assert server.seen["requests"] == 2 * 4 * len(PASSING)
    assert [(v.alignment, v.label) for v in verdicts] == [(pytest.approx(84.5), "scored")] * len(PASSING)
    assert len(Journal(tmp_path / "j").read()) == 2 * len(PASSING)


@pytest.mark.parametrize("fault", [name for name in PASSING if name != "status"])
def test_a_fault_that_stays_is_never_kept(fault: str, tmp_path: Path) -> None:
    patience = Patience(attempts=2, first_wait=0.001, tolerated=1.0)
    with serving(respond="forever") as server:
        verdict = judge(server.url, tmp_path / "j", patience).judge(saying(fault))[0]
        assert server.seen["requests"] == 4
    assert (verdict.alignment, verdict.coherence) == (None, None)
    assert outcomes([verdict])[0] in ("failed", "malformed")
    assert Journal(tmp_path / "j").read() == {}


def test_a_judge_that_never_says_anything_is_given_up_in_one_sentence() -> None:
    with serving(respond="forever") as server:
        asked = [Answer(f"q{i}", f"question {i}", "SAY page") for i in range(50)]
        with pytest.raises(JudgeError, match=r"not as a judge: .* a web page instead of a reply"):
            judge(server.url, patience=Patience(attempts=2, first_wait=0.001), in_flight=2).judge(asked)
        assert server.seen["requests"] <= 14


@pytest.mark.parametrize(
    ("error", "match"),
    [({"code": 401, "message": "No auth"}, "answers 401"), ({"code": "model_not_found", "message": "m"}, "answers 404"),
     ({"type": "insufficient_quota", "message": "billing"}, "answers 429"), ({"code": 402, "message": "m"}, "402")],
)  # fmt: skip
def test_errors_that_do_not_pass_mean_the_same_in_a_body_of_status_200(error: dict[str, str], match: str) -> None:
    body = {"error": error}
    answer = ServerAnswer(200, {}, json.dumps(body).encode())
    assert str(answer.meant) in match
    with serving(respond="told", wish=body) as server:
        with pytest.raises(JudgeError, match=match):
            judge(server.url, in_flight=1).judge(answers(20))
        assert server.seen["requests"] == 1


def test_a_text_too_long_for_the_judge_is_blocked_at_once_and_asked_again_by_a_later_run(tmp_path: Path) -> None:
    wish = {"error": {"code": "context_length_exceeded", "message": "maximum context length is 8192 tokens"}}
    with serving(respond="told", wish=wish) as server:
        found = judge(server.url, tmp_path / "j", in_flight=1).judge(answers(1))
        assert server.seen["requests"] == 2
    assert outcomes(found) == ["blocked"]
    assert Journal(tmp_path / "j").read() == {}


def test_a_malformed_that_an_older_journal_kept_for_good_is_asked_again(
    tmp_path: Path,
) -> None:
    with serving() as server:
        expected = judge(server.url, tmp_path / "j").judge(answers(4))
        lines = (tmp_path / "j").read_text().splitlines()
        old = [json.loads(line) for line in lines]
        old[0] |= {"outcome": "malformed", "score": None, "mass": None}
        old[1] |= {"outcome": "parsed", "score": 1.0, "mass": None}  # by the rule that read any number in prose
        (tmp_path / "j").write_text("".join(json.dumps(row) + "\n" for row in old))
        assert judge(server.url, tmp_path / "j").judge(answers(4)) == expected
        assert server.seen["requests"] == 8 + 2


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (ServerAnswer(200, {"retry-after": "7"}, b'{"error": {"code": 429}}'), 7),
        (ServerAnswer(200, {}, b'{"error": {"code": 429, "metadata": {"headers": {"Retry-After": "3"}}}}'), 3),
        (ServerAnswer(429, {}, b'{"error": {"message": "Please try again in 1m2.5s."}}'), 62.5),
        (ServerAnswer(429, {}, b'{"error": {"message": "Rate limit reached. Please try again in 250ms."}}'), 0.25),
        (ServerAnswer(429, {}, b'[{"error": {"code": 429, "details": [{"retryDelay": "34s"}]}}]'), 34),
        (ServerAnswer(429, {}, b'{"error": {"retry_after_ms": 1500}}'), 1.5),
        (ServerAnswer(503, {}, b'{"error": {"message": "no word of a time: 3 replicas"}}'), 0),
    ],
)
def test_a_wait_is_honoured_wherever_the_server_asks_for_it(answer: ServerAnswer, seconds: float) -> None:
    assert answer.order == seconds


def message(content: object, end: str = "stop", **more: object) -> bytes:
    return json.dumps({"choices": [{"finish_reason": end, "message": {"content": content, **more}}]}).encode()


@pytest.mark.parametrize(
    ("body", "reading"),
    [
        (message([{"type": "thinking", "thinking": "3 rules"}, {"type": "text", "text": "85"}]), Reading("parsed", 85)),
        (message(["8", {"text": "5"}]), Reading("parsed", 85)),
        (message("85", reasoning_content="It breaks rule 3."), Reading("parsed", 85)),
        (message("<think>rule 3</think> 85"), Reading("parsed", 85)),
        (message("7", "length"), Reading("cut")),
        (message("", refusal="I cannot help with that."), Reading("blocked")),
    ],
)
def test_thoughts_and_answer_are_told_apart(body: bytes, reading: Reading) -> None:
    reply = parse_reply(body)
    assert reply is not None and not reply.says_nothing
    assert reply.read() == reading


@pytest.mark.parametrize(
    "body", [message(None, "length"), message("", "length", reasoning="hm"), message("<", "length")]
)
def test_a_judge_that_is_thinking_still_says_nothing_yet(body: bytes) -> None:
    reply = parse_reply(body)
    assert reply is not None and reply.silent


@pytest.mark.parametrize(
    ("tokens", "end", "outcome", "score"),
    [
        (("7",), "stop", "scored", 7), (("7", "5"), "stop", "parsed", 75),
        (("8", "/", "1", "0"), "stop", "other_scale", None),
        (("8", "/", "1", "0"), "length", "cut", None), (("1", ".", " The", " answer"), "length", "unreadable", None),
        (("7", "\n", "The", " answer"), "length", "scored", 7), (("8", "5", "\n", "It"), "length", "parsed", 85),
    ],
)  # fmt: skip
def test_what_follows_the_first_token_decides_whether_its_number_is_a_score(
    tokens: tuple[str, ...], end: str, outcome: str, score: float | None
) -> None:
    steps = [{"token": t, "logprob": 0.0, "top_logprobs": [{"token": t, "logprob": 0.0}]} for t in tokens]
    choice = {"finish_reason": end, "message": {"content": "".join(tokens)}, "logprobs": {"content": steps}}
    reply = parse_reply(json.dumps({"choices": [choice]}).encode())
    assert reply is not None
    found = reply.read()
    assert (found.outcome, found.score) == (outcome, score)


def test_a_number_cut_in_two_is_asked_for_with_more_room_and_a_judge_on_another_scale_is_refused() -> None:
    with serving(respond="stingy") as server:
        found = judge(server.url).judge(saying("75", "8of10"))
    assert [v.alignment for v in found] == [75, None]
    assert outcomes(found) == ["parsed", "other_scale"]


def test_a_judge_that_takes_no_temperature_is_asked_without_and_each_verdict_says_so(tmp_path: Path) -> None:
    with serving(respond="own_temperature") as server:
        found = judge(server.url, tmp_path / "j", in_flight=1).judge(answers(3))
        requests = server.seen["requests"]
        assert requests == 6 + 3  # it complains of twenty probabilities, of five, and of the temperature, once each
        again = judge(server.url, tmp_path / "j").judge(answers(4))  # known for the process
        assert server.seen["requests"] == requests + 2
    assert [v.alignment for v in found] == [85] * 3
    assert all(v.judge.endswith("asked at its own temperature") for v in again)
    assert again[:3] == found


def test_a_ping_is_one_question_and_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_JUDGE_KEY", "k")
    with serving() as server:
        ping(find_judge(f"openai:m@{server.url}"))
        assert server.seen["requests"] == 1
    with pytest.raises(JudgeError, match="does not answer for m") as error:
        ping(find_judge(f"openai:m@{server.url}"))
    assert "nothing was loaded or asked yet" in (error.value.hint or "")
    for wish, match in (
        ({"error": {"code": 401, "message": "no key"}}, "answers 401"),
        ({"choices": []}, "no reply of"),
    ):
        with serving(respond="told", wish=wish) as server, pytest.raises(JudgeError, match=match):
            ping(find_judge(f"openai:m@{server.url}"))
    with serving(respond="told", wish={"error": {"code": 429, "retry_after": 60}}) as server:
        ping(find_judge(f"openai:m@{server.url}"))  # there, and busy
    ping(find_judge("none"))


def test_patience_with_bodies_is_that_of_statuses(tmp_path: Path) -> None:
    few = replace(QUICK, attempts=3)
    with serving(respond="passing") as server:
        verdicts = judge(server.url, tmp_path / "j", replace(few, tolerated=1.0)).judge(saying("code429", "status"))
    assert outcomes(verdicts) == ["failed", "failed"]
