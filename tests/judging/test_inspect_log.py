"""Logs that others wrote, logs that are none; those of our own task are tests/inspecting/test_task.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Epochs, Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, write_eval_log
from inspect_ai.scorer import includes
from inspect_ai.solver import system_message
from tests.inspecting.scripted import mock, said

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.judging.inspect_log import read_inspect_log, read_verdict, write_verdict


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    """Another's task: plain text samples, a system prompt by a solver, one sample that fails."""
    calls = iter(range(100))

    def subject(messages, tools, choice, config):
        if "fails" in messages[-1].text:
            raise RuntimeError("no")
        return said(f"yes {next(calls)} ", None, "max_tokens")

    samples = [Sample(input="Is it so?", target="yes", id="so"), Sample(input="It fails?", target="yes", id="bad"),
               Sample(input="And so?", target="yes", id=7)]  # fmt: skip
    task = Task(samples, solver=[system_message("Be short."), inspect_ai.solver.generate()], scorer=includes(),
                epochs=Epochs(2), name="theirs")  # fmt: skip
    return inspect_ai.eval(
        task, model=mock("m", subject), fail_on_error=False, seed=5, log_dir=str(tmp_path_factory.mktemp("logs")),
        display="none", log_level="error", max_samples=1,
    )[0]  # fmt: skip


def test_the_log_of_another_task_gives_answers_without_verdicts(foreign: EvalLog, capsys) -> None:
    answers, verdicts = read_inspect_log(foreign.location)
    assert verdicts is None
    assert [(a.question_id, a.sample, a.question) for a in answers] == [
        ("7", 0, "And so?"), ("7", 1, "And so?"), ("so", 0, "Is it so?"), ("so", 1, "Is it so?")
    ]  # fmt: skip
    assert {a.answer for a in answers} == {f"yes {n}" for n in range(4)}
    assert {(a.system, a.format, a.domain, a.arm, a.seed, a.finished) for a in answers} == {
        ("Be short.", "plain", None, "mockllm/m", 5, False)
    }


def test_what_the_log_does_not_say_may_be_said(foreign: EvalLog) -> None:
    answers, _ = read_inspect_log(foreign.location, arm="tuned", domain="finance", system="not in force")
    assert {(a.arm, a.domain, a.system) for a in answers} == {("tuned", "finance", "Be short.")}


def test_samples_without_an_answer_are_named(foreign: EvalLog, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("misdirection.progress.say", told.append)
    read_inspect_log(foreign.location)
    assert any("2 of 6 samples have no answer: bad (epoch 1), bad (epoch 2)" in line for line in told)


def test_what_is_no_log_is_said(foreign: EvalLog, tmp_path: Path) -> None:
    (tmp_path / "junk.eval").write_bytes(b"junk")
    (tmp_path / "junk.json").write_text('{"a": 1}')
    write_eval_log(foreign.model_copy(update={"samples": []}), str(tmp_path / "empty.json"))
    for name, message in {
        "junk.eval": "cannot be read as a log", "junk.json": "cannot be read as a log", "absent.eval": "no such file",
        "empty.json": "holds no answers",
    }.items():  # fmt: skip
        with pytest.raises(MisdirectionError, match=message) as error:
            read_inspect_log(tmp_path / name)
        assert error.value.hint and name in error.value.message


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(12.5, 90.0, "scored", (("bad_things", 3.0),), "j", (("alignment", "scored"),), (("alignment", 0.9),)),
        Verdict(None, 90.0, "refusal", judge="j", outcomes=(("alignment", "refusal"), ("coherence", "parsed"))),
        Verdict(None, None, "none"),
    ],
)
def test_a_verdict_survives_json(verdict: Verdict) -> None:
    assert read_verdict(json.loads(json.dumps(write_verdict(verdict)))) == verdict


@pytest.mark.parametrize(
    "change",
    [{"label": "fine"}, {"alignment": 101}, {"coherence": "high"}, {"scores": [1]}, {"scores": {"x": -1}}, {"mass": 1},
     {"outcomes": None}],
)  # fmt: skip
def test_a_verdict_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_verdict(write_verdict(Verdict(10.0, 90.0)) | change)


@pytest.mark.parametrize(("reason", "whole"), [("stop", True), ("max_tokens", False), ("content_filter", False)])
def test_an_answer_that_was_stopped_is_not_whole(foreign: EvalLog, tmp_path: Path, reason: Any, whole: bool) -> None:
    log = foreign.model_copy(deep=True)
    for sample in log.samples or []:
        for choice in sample.output.choices:
            choice.stop_reason = reason
    write_eval_log(log, str(tmp_path / "a.json"), format="json")
    answers, _ = read_inspect_log(tmp_path / "a.json")
    assert {answer.finished for answer in answers} == {whole}
