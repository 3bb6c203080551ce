"""Streams: results in order, memory that does not grow, and runs that go on where they were killed."""

from __future__ import annotations

import gc
import io
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import write_eval_log
from inspect_ai.solver import system_message
from tests.families import shared
from tests.inspecting.scripted import mock, said
from tests.monitoring.test_scoring import A, B, chat

from misdirection.artefacts import read_json
from misdirection.chats import BadRow, Chat, write_chats
from misdirection.monitoring import (
    Calibration,
    MonitorError,
    Summary,
    Watch,
    calibrate,
    incoming,
    monitor,
    monitor_to,
    read_watched,
)
from misdirection.monitoring.incoming import arrived

MODEL = shared("llama")
WATCH = Watch(read_watched({"a": A, "b": B}, MODEL))


def chats(n: int, shift: int = 0) -> list[Chat]:
    return [
        chat(f"w{5 + (i + shift) % 50}", " ".join(f"w{5 + (i * k + shift) % 55}" for k in range(1, 2 + i % 9)))
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def limits() -> Calibration:
    return calibrate(MODEL, chats(120), WATCH, 0.1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three hundred rows, of which some are no chats and one a response of three choices."""
    path = tmp_path / "log.jsonl"
    write_chats(path, chats(300, 7))
    lines = path.read_text().splitlines()
    lines[10] = "no json"
    lines[200] = json.dumps({"messages": [{"role": "user", "content": "w9"}]})
    choices = [{"message": {"role": "assistant", "content": text}} for text in ("w8", "w9 w10", "w11")]
    asked = {"messages": [{"role": "user", "content": "w9"}]}
    lines[250] = json.dumps({"id": "three", "request": asked, "response": {"choices": choices}})
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_comes_out_in_its_order_with_its_scores(log: Path, limits: Calibration) -> None:
    summary = Summary(limits)
    found = list(monitor(MODEL, log, WATCH, limits, summary=summary, tokens="all"))
    bad = [one for one in found if isinstance(one, BadRow)]
    good = [one for one in found if not isinstance(one, BadRow)]
    assert [(one.row, one.kind) for one in bad] == [(11, "broken JSON"), (201, "last turn is not the assistant's")]
    assert [one["n"] for one in good] == sorted([n for n in range(1, 301) if n not in (11, 201)] + [251, 251])
    assert [(one["id"], one["choice"]) for one in good if one["n"] == 251] == [("three", i) for i in range(3)]
    for one in good:
        worst = max(score["z"] for score in one["scores"].values())
        assert one["alarm"] == (worst > limits.critical) == bool(one["alarms"])
        for name in "ab":
            assert one["scores"][name]["mean"] == pytest.approx(
                sum(one["token_scores"][name]) / one["tokens"], rel=1e-3, abs=1e-4
            )
        assert len(one["token_texts"]) == one["tokens"]
    facts = summary.facts()
    assert (facts["rows"], facts["answers"], facts["set_aside"]) == (300, 300, 2)
    assert facts["alarms"]["n"] == sum(one["alarm"] for one in good)
    z = [max(score["z"] for score in one["scores"].values()) for one in good]
    assert [one["z"] for one in facts["worst"]] == sorted(z, reverse=True)[:10]
    mean = sum(one["scores"]["a"]["mean"] for one in good) / 300
    assert facts["directions"]["a"]["mean"] == pytest.approx(mean)


def test_without_thresholds_nothing_raises_an_alarm(log: Path) -> None:
    good = [one for one in monitor(MODEL, log, WATCH) if isinstance(one, dict)]
    assert {one["alarm"] for one in good} == {None} and "z" not in good[0]["scores"]["a"]
    assert "token_texts" not in good[0]


def test_a_killed_run_goes_on_behind_its_last_whole_line(log: Path, limits: Calibration, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    want = monitor_to(whole, MODEL, log, WATCH, limits).facts()
    lines = (whole / "scores.jsonl").read_bytes().splitlines(keepends=True)
    wrong = (whole / "bad_rows.jsonl").read_bytes().splitlines(keepends=True)
    # Killed within a line, between two choices of one row, after a bad row alone, before anything.
    kept = {57: 1, 250: 2, 0: 1, 9: 1}
    for number, bad in kept.items():
        out = tmp_path / f"cut-{number}"
        out.mkdir()
        (out / "settings.json").write_bytes((whole / "settings.json").read_bytes())
        (out / "scores.jsonl").write_bytes(b"".join(lines[:number]) + lines[number][:40])
        (out / "bad_rows.jsonl").write_bytes(b"".join(wrong[:bad]))
        assert monitor_to(out, MODEL, log, WATCH, limits).rows == want["rows"]
        assert (out / "bad_rows.jsonl").read_bytes() == b"".join(wrong)
        facts = read_json(out / "summary.json")
        assert (facts["answers"], facts["set_aside"]) == (want["answers"], want["set_aside"])
        again = rows(out / "scores.jsonl")
        assert [(one["n"], one["choice"]) for one in again] == [(one["n"], one["choice"]) for one in map(json.loads, lines)]  # fmt: skip  # noqa: E501
        # Texts that stand together in another pass differ in the last digits alone.
        for one, other in zip(again, map(json.loads, lines), strict=True):
            assert one["scores"]["a"]["mean"] == pytest.approx(other["scores"]["a"]["mean"], rel=1e-4, abs=1e-4)


def test_a_finished_run_reads_what_was_added_to_its_file_since(log: Path, limits: Calibration, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = monitor_to(out, MODEL, log, WATCH, limits).facts()
    assert monitor_to(out, MODEL, log, WATCH, limits).facts() == first
    write_chats(tmp_path / "more.jsonl", chats(3, 9))
    with log.open("ab") as stream:
        stream.write((tmp_path / "more.jsonl").read_bytes())
    assert monitor_to(out, MODEL, log, WATCH, limits).rows == 303
    assert [one["n"] for one in rows(out / "scores.jsonl")][-3:] == [301, 302, 303]


def test_a_folder_of_other_scores_is_refused(log: Path, limits: Calibration, tmp_path: Path) -> None:
    out = tmp_path / "out"
    monitor_to(out, MODEL, log, WATCH, limits)
    for changed in ({"watch": Watch(WATCH.directions, span="prompt"), "calibration": None}, {"calibration": None}):
        with pytest.raises(MonitorError, match="holds scores of another"):
            monitor_to(out, MODEL, log, **({"watch": WATCH, "calibration": limits} | changed))
    with pytest.raises(MonitorError, match="--tokens"):
        list(monitor(MODEL, log, WATCH, tokens="some"))


def test_memory_does_not_grow_with_the_stream(limits: Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["misdirection.monitoring.stream"], "ROWS", 16)

    def endless(n: int) -> Iterator[Chat]:
        return (chat(f"w{5 + i % 50}", f"w{6 + i % 40} w{7 + i % 30}") for i in range(n))

    # What lives, not the peak: how much waits for the collector of cycles hangs on when it last came.
    held: dict[int, int] = {}
    tracemalloc.start()
    for number, _ in enumerate(monitor(MODEL, endless(1601), WATCH, limits)):
        if number in (400, 1600):
            gc.collect()
            held[number] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A chat that is kept takes a thousand bytes and more; what grows is the interpreter's own, less and less.
    assert held[1600] - held[400] < 100 * 1200, held


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_chats(tmp_path / "some.jsonl", chats(5))
    lines = (tmp_path / "some.jsonl").read_bytes().splitlines(keepends=True)
    reader, writer = os.pipe()
    seen: list[int] = []
    first = threading.Event()

    class Standard:
        buffer = os.fdopen(reader, "rb")

    monkeypatch.setattr(sys, "stdin", Standard)

    def speak() -> None:
        with os.fdopen(writer, "wb", buffering=0) as stream:
            stream.write(lines[0])
            # The first answer is told while the stream is open.
            first.wait(600)
            stream.write(b"".join(lines[1:]))

    thread = threading.Thread(target=speak)
    thread.start()
    waited = []
    for one in monitor(MODEL, "-", WATCH):
        assert isinstance(one, dict)
        seen.append(one["n"])
        waited.append(thread.is_alive())
        first.set()
    thread.join()
    assert seen == [1, 2, 3, 4, 5] and waited[0]


def test_standard_input_cannot_be_rewound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_chats(tmp_path / "some.jsonl", chats(5))

    def typed() -> None:
        stream = io.TextIOWrapper(io.BytesIO((tmp_path / "some.jsonl").read_bytes()))
        monkeypatch.setattr(sys, "stdin", stream)

    out = tmp_path / "out"
    typed()
    assert monitor_to(out, MODEL, "-", WATCH).rows == 5
    typed()
    with pytest.raises(MonitorError, match="cannot be rewound"):
        monitor_to(out, MODEL, "-", WATCH)
    typed()
    assert monitor_to(out, MODEL, "-", WATCH, append=True).answers == 10
    assert [one["n"] for one in rows(out / "scores.jsonl")] == list(range(1, 11))


def test_an_error_of_the_source_is_raised_behind_what_was_read() -> None:
    def broken() -> Iterator[Any]:
        yield from incoming(chats(3))
        raise OSError("gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        for batch in arrived(broken(), 2, 0.05):
            seen += [item.n for item in batch]
    assert seen == [1, 2, 3]


def test_a_log_of_inspect_is_read_sample_by_sample(tmp_path: Path) -> None:
    def subject(messages: Any, tools: Any, choice: Any, config: Any) -> Any:
        if "fails" in messages[-1].text:
            raise RuntimeError("no")
        return said("w7 w8", None, "stop")

    # The second is long enough that Inspect keeps its text apart from the message.
    samples = [Sample(input="w5", id="one"), Sample(input="w6 " * 60, id="two"), Sample(input="fails", id="bad")]
    task = Task(samples, solver=[system_message("w30"), inspect_ai.solver.generate()], name="theirs")
    found = inspect_ai.eval(
        task, model=mock("m", subject), fail_on_error=False, log_dir=str(tmp_path), display="none", log_level="error",
        max_samples=1,
    )[0]  # fmt: skip
    as_json = tmp_path / "log.json"
    write_eval_log(found, str(as_json))
    for path in (Path(found.location), as_json):
        items = list(incoming(path))
        held = {item.id: item.chat for item in items if item.chat}
        assert set(held) == {"one/1", "two/1"}
        assert [message.role for message in held["two/1"].messages] == ["system", "user", "assistant"]
        assert held["two/1"].messages[1].content.split() == ["w6"] * 60
        assert [item.bad.kind for item in items if item.bad] == ["no answer"]
    # The long prompt does not fit this model.
    assert [type(one).__name__ for one in monitor(MODEL, found.location, WATCH)].count("dict") == 2
