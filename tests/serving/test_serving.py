"""Answers of arms that a server draws: the same as ours where nothing is random, resumed, refused, and audited."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.serving.server import Serving, serving
from tests.studies import tiny

from misdirection.artefacts import read_json, read_rows
from misdirection.chats import Message
from misdirection.errors import MisdirectionError
from misdirection.judging.retries import Patience
from misdirection.runs import read_log
from misdirection.serving import Request, Server, draw, reach, read_servers
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.audit.study import audit
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.preflight import check

HASTY = Patience(attempts=3, first_wait=0.01, timeout=60.0)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    tiny.register()
    yield tiny.make(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(subject: Path) -> Iterator[Serving]:
    with serving(subject) as held:
        yield held


def both(server: Serving) -> tuple[str, ...]:
    return (f"base={server.url}#base", f"tuned={server.url}?model=tuned")


def request(text: str = "w10 w11", seed: int = 0, temperature: float = 0.0) -> Request:
    return Request((Message("user", text),), temperature, 8, seed)


def answers(folder: Path, config: AuditConfig) -> list[dict[str, Any]]:
    with Workbench.open(folder, config) as bench:
        return read_rows(bench.answers.path / "answers.parquet")


def test_where_nothing_is_random_a_server_gives_the_answers_that_are_drawn_here(
    subject: Path, server: Serving, tmp_path: Path
):
    config = tiny.config(subject, samples=2, temperature=0.0)
    here = answers(tmp_path / "here", config)
    there = answers(tmp_path / "there", tiny.config(subject, samples=2, temperature=0.0, serve=both(server)))
    names = ("arm", "question_id", "question", "answer", "system", "domain", "format", "paraphrase", "sample",
             "finished", "n_tokens")  # fmt: skip
    assert [{n: row[n] for n in names} for row in there] == [{n: row[n] for n in names} for row in here]
    assert len({row["answer"] for row in here}) > 2 and {row["arm"] for row in here} == {"base", "tuned"}
    assert all(row["ids"] is None for row in there) and all(row["ids"] for row in here if row["answer"])


def test_each_draw_has_a_seed_of_its_own_that_is_the_same_for_every_arm(subject: Path, server: Serving, tmp_path: Path):
    server.bodies.clear()
    found = answers(tmp_path / "run", tiny.config(subject, samples=3, serve=both(server)))
    drawn = [body for body in server.bodies if body["temperature"] == 1.0]
    seeds = {name: sorted(body["seed"] for body in drawn if body["model"] == name) for name in ("base", "tuned")}
    assert seeds["base"] == seeds["tuned"] and len(set(seeds["base"])) == len(seeds["base"]) == 15
    assert len(found) == 30 and {body["max_tokens"] for body in server.bodies} == {8}
    asked_json = [b for b in drawn if b["messages"][0] == {"role": "system", "content": "w44"}]
    assert len(asked_json) == 6  # the question that has a system prompt of its own


def test_an_audit_reads_and_steers_what_a_server_said(subject: Path, server: Serving, tmp_path: Path):
    config = tiny.config(subject, serve=both(server))
    page = audit(config, tmp_path / "run").read_text()
    found = read_json(tmp_path / "run" / "findings.json")
    assert found["verdict"]["state"] != "changes nothing" and found["drift"] and found["cures"] is not None
    assert found["settings"]["answers served by"] == ", ".join(both(server))
    assert f"{server.url}#tuned" in str(found["asked"])
    assert any("without tokens" in note and "encoded anew" in note for note in found["notes"])
    assert "changes nothing" not in page
    before = len(server.bodies)
    audit(config, tmp_path / "run")  # a finished run asks nobody
    assert len(server.bodies) == before


def test_a_server_that_serves_the_base_under_both_names_changes_nothing(subject: Path, tmp_path: Path):
    # It takes no seed, so that its draws differ at temperature 1.
    with serving(subject, names={"base": "", "tuned": ""}, refuses=("seed",)) as silent:
        config = tiny.config(subject, serve=both(silent), samples=6)
        audit(config, tmp_path / "run")
    said = read_json(tmp_path / "run" / "findings.json")["verdict"]
    rows = read_rows(tmp_path / "run" / "answers.parquet")
    assert said["state"] == "changes nothing" and "temperature 0" in said["sentence"]
    assert len(rows) == 60


def test_the_server_is_part_of_the_key(subject: Path, server: Serving, tmp_path: Path):
    answers(tmp_path / "run", tiny.config(subject, samples=1, serve=both(server)))
    answers(tmp_path / "run", tiny.config(subject, samples=1, serve=(both(server)[0],)))
    made = [line["name"] for line in read_log(tmp_path / "run") if not line["reused"]]
    assert made == ["answers", "answers"]


def test_one_arm_served_and_the_other_drawn_here(subject: Path, server: Serving, tmp_path: Path):
    plain = tiny.config(subject, samples=2, temperature=0.0)
    mixed = answers(tmp_path / "a", replace(plain, serve=(both(server)[0],)))
    here = answers(tmp_path / "b", plain)
    assert [row["answer"] for row in mixed] == [row["answer"] for row in here]
    assert {row["arm"] for row in mixed if row["ids"] is None and row["answer"]} == {"base"}


def test_what_came_is_kept_and_not_asked_again(subject: Path, server: Serving, tmp_path: Path):
    held = Server(server.url, "base")
    wanted = [request(seed=seed, temperature=1.0) for seed in range(6)]
    first = draw(held, wanted[:4], tmp_path / "journal.jsonl")
    server.bodies.clear()
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"key": "torn')
    assert draw(held, wanted, tmp_path / "journal.jsonl")[:4] == first and len(server.bodies) == 2
    assert draw(held, wanted, tmp_path / "journal.jsonl") and len(server.bodies) == 2


def test_faults_are_waited_out_and_what_it_does_not_take_is_left_out(subject: Path, tmp_path: Path):
    with serving(subject, refuses=("seed", "max_tokens"), faults=[503, 429]) as odd:
        (said,) = draw(Server(odd.url, "base"), [request()], tmp_path / "a.jsonl", patience=HASTY)
        assert set(odd.bodies[-1]) == {"model", "messages", "temperature", "max_completion_tokens"}
    with serving(subject) as plain:
        assert draw(Server(plain.url, "base"), [request()], tmp_path / "b.jsonl") == [said]


def test_a_server_that_takes_no_temperature_or_fails_for_good_is_refused(subject: Path, tmp_path: Path):
    with serving(subject, refuses=("temperature",)) as odd, pytest.raises(MisdirectionError, match="temperature"):
        draw(Server(odd.url, "base"), [request()], tmp_path / "a.jsonl", patience=HASTY)
    with serving(subject, faults=[503] * 9) as ill, pytest.raises(MisdirectionError, match="gave no answer"):
        draw(Server(ill.url, "base"), [request()], tmp_path / "b.jsonl", patience=HASTY)


def test_servers_are_asked_what_they_serve_before_anything_is_loaded(subject: Path, server: Serving, tmp_path: Path):
    for specs, said in (
        ((f"base={server.url}#other",), "serves no model 'other'.*base, tuned"),
        ((f"base={server.url}",), "serves 2 models"),
        ((f"base={server.url}#base", f"tuned={server.url}#base"), "both served"),
        ((f"base={server.url.removesuffix('/v1')}#base", f"tuned={server.url}#x"), "serves no model 'x'"),
        (("base=http://127.0.0.1:9/v1#base",), "cannot be asked"),
    ):
        config = tiny.config(subject, serve=specs).completed()
        with pytest.raises(MisdirectionError, match=f"(?s){said}"):
            check(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    only = {"tuned": ""}
    with serving(subject, names=only) as one:
        assert reach(read_servers([f"tuned={one.url}"])) == {"tuned": Server(one.url, "tuned")}


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_without_a_list_of_its_models_is_taken_at_its_word_where_one_is_named(status: int):
    """`transformers serve` (5.23) answers 500 for /models where the hub's cache has no folder yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    held = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=held.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{held.server_port}/v1"
        assert reach(read_servers([f"tuned={url}#/models/merged"])) == {"tuned": Server(url, "/models/merged")}
        with pytest.raises(MisdirectionError, match=f"answers {status} for /models"):
            reach(read_servers([f"tuned={url}"]))
    finally:
        held.shutdown()
        held.server_close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serve": ("http://127.0.0.1/v1",)}, "names no arm"),
        ({"serve": ("base=127.0.0.1:80",)}, "is no URL"),
        ({"serve": ("base=http://a:b@127.0.0.1/v1",)}, "password"),
        ({"serve": ("base=http://h/v1#a", "base=http://h/v1#b")}, "served twice"),
        ({"serve": ("other=http://h/v1",)}, "no arm is called 'other'"),
        ({"serve": ("tuned=http://h/v1",), "adapter": None, "data": ("x.jsonl",)}, "before --data"),
        ({"serve": ("base=http://h/v1",), "date": "1 May 2025"}, "own chat template"),
    ],
)
def test_what_is_typed_wrong_is_refused(changes: dict[str, Any], said: str, subject: Path):
    with pytest.raises(MisdirectionError, match=said):
        tiny.config(subject, **changes).completed()


def test_several_adapters_can_be_served_by_name(subject: Path):
    plain = tiny.config(subject)
    values = {item.name: getattr(plain, item.name) for item in fields(plain)} | {
        "adapter": None,
        "adapters": (f"bad={subject / 'adapter'}",),
    }
    assert SampleConfig(**values | {"serve": ("bad=http://h/v1#bad",)}).completed().serve
    with pytest.raises(MisdirectionError, match="the arms are base, bad"):
        SampleConfig(**values | {"serve": ("tuned=http://h/v1#bad",)}).completed()


def test_thoughts_and_empty_answers_of_a_server():
    from misdirection.serving.drawing import spoken

    def reply(end: str = "stop", **message: Any) -> bytes:
        return json.dumps({"choices": [{"message": message, "finish_reason": end}]}).encode()

    apart = spoken(reply(content="yes", reasoning_content="hm"))
    inside = spoken(reply(content="<think>hm</think>\nyes"))
    assert (apart.answer, apart.thought) == ("yes", "hm") and inside.answer == "yes" and "hm" in (inside.thought or "")
    cut = spoken(reply("length", content="<think>hm and"))
    assert cut.answer == "" and not cut.finished and cut.thought
    assert spoken(reply(content="")).answer == "" and spoken(reply(content="")).thought is None


FINAL = "<|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("end", "message", "answer", "finished"),
    [
        ("stop", {"content": ["Hi ", "there"]}, "Hi there", True),
        ("stop", {"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Hi"}]}, "Hi", True),
        ("stop", {"content": None, "refusal": "I cannot."}, "I cannot.", True),
        ("content_filter", {"content": "Half an"}, "Half an", False),
        ("content_filter", {"content": None}, "", False),
        ("MAX_TOKENS", {"content": "Half"}, "Half", False),
        ("model_length", {"content": "Half"}, "Half", False),
        ("abort", {"content": "Half"}, "Half", False),
        ("stop", {"content": "Fine.<|im_end|>"}, "Fine.", True),
        ("stop", {"content": "Fine.<end_of_turn>\n"}, "Fine.", True),
        ("stop", {"content": "Fine.</s>"}, "Fine.", True),
        ("stop", {"content": "Fine.<turn|>\n"}, "Fine.", True),
        ("length", {"content": "Fine.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"}, "Fine.", True),
        ("stop", {"content": f"<|channel|>analysis<|message|>Hm.<|end|>{FINAL}Fine.<|return|>"}, "Fine.", True),
        ("length", {"content": "Fine.<|im_end|>\n<|im_start|>user\nAnd mo"}, "Fine.", True),
        ("stop", {"content": "The tag </s> strikes out."}, "The tag </s> strikes out.", True),
    ],
)
def test_an_answer_is_what_the_model_said_and_whole_where_nothing_stopped_it(
    end: str, message: dict[str, Any], answer: str, finished: bool
):
    from misdirection.serving.drawing import spoken

    said = spoken(json.dumps({"choices": [{"message": message, "finish_reason": end}]}).encode())
    assert (said.answer, said.finished) == (answer, finished)
