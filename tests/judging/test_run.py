"""Verdicts of a run: kept as they come, beside the steps, and known to every step of the run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from tests.judging.kept import answers, judge
from tests.judging.server import serving

from misdirection.artefacts import write_rows
from misdirection.judging import Answer, find_judge
from misdirection.judging.retries import JudgeError, Patience
from misdirection.runs import Run, Step
from misdirection.studies.steps import judge_step, load_judged


def answered(run: Run, name: str, given: list[Answer]) -> Step:
    def make(folder: Path) -> None:
        write_rows(folder / "answers.parquet", given)

    return run.step(name, {"answers": [asdict(answer) for answer in given]}, make)


def test_verdicts_come_back_with_outcomes_and_mass(tmp_path: Path) -> None:
    with serving() as server, Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", answers(4))
        verdicts = judge_step(run, "verdicts", step, judge(server.url))
        held = load_judged(step, verdicts)
        assert held.verdicts == judge(server.url).judge(answers(4))
    assert [name for name, _ in held.verdicts[0].mass] == ["alignment", "coherence"]
    assert dict(held.verdicts[0].outcomes) == {"alignment": "scored", "coherence": "scored"}


def test_what_one_step_asked_is_known_to_the_next_and_to_the_run_when_it_is_reopened(tmp_path: Path) -> None:
    with serving() as server:
        with Run.open(tmp_path / "run", {}) as run:
            judge_step(run, "verdicts", answered(run, "answers", answers(4)), judge(server.url))
        assert server.seen["requests"] == 8
        with Run.open(tmp_path / "run", {}) as run:
            more = answered(run, "more", answers(6))
            judge_step(run, "more-verdicts", more, judge(server.url))
        assert server.seen["requests"] == 12


def test_a_step_that_ends_early_keeps_what_it_was_told(tmp_path: Path) -> None:
    given = [*answers(3), Answer("q", "q", "SAY 401")]
    with Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", given)
        with serving(respond="moody") as server, pytest.raises(JudgeError, match="401"):
            judge_step(run, "verdicts", step, judge(server.url, in_flight=1))
        with serving() as server:
            # The server's address is part of what `openai:` calls a judge; this one is called "m" wherever it is.
            verdicts = judge_step(run, "verdicts", step, judge(server.url, patience=Patience()))
            assert server.seen["requests"] == 2
        assert [v.label for v in load_judged(step, verdicts).verdicts] == ["scored"] * 4


def test_judges_without_a_journal_judge_as_before(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", answers(2))
        held = load_judged(step, judge_step(run, "verdicts", step, find_judge("none")))
    assert [(v.label, v.outcomes, v.mass) for v in held.verdicts] == [("none", (), ())] * 2
