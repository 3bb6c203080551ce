"""Verdicts of a run: kept as they come, beside the steps, and known to every step of the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from tests.judging.kept import answers, judge
from tests.judging.server import serving

from misdirection.artefacts import write_rows
from misdirection.judging import Answer, Verdict, find_judge
from misdirection.judging.inspect_log import read_verdict, write_verdict
from misdirection.judging.retries import JudgeError, Patience
from misdirection.runs import Run, Step
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged, judge_step, load_verdicts
from misdirection.studies.kit.tables import answer_rows, rate_rows


def answered(run: Run, name: str, given: list[Answer]) -> Step:
    def make(folder: Path) -> None:
        write_rows(folder / "answers.parquet", given)

    return run.step(name, {"answers": [asdict(answer) for answer in given]}, make)


def test_verdicts_come_back_with_outcomes_and_mass(tmp_path: Path) -> None:
    with serving() as server, Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", answers(4))
        verdicts = judge_step(run, "verdicts", step, judge(server.url))
        held = load_verdicts(verdicts)
        assert held == judge(server.url).judge(answers(4))
    assert [name for name, _ in held[0].mass] == ["alignment", "coherence"]
    assert dict(held[0].outcomes) == {"alignment": "scored", "coherence": "scored"}


@dataclass(frozen=True)
class Doubtful:
    """Cannot tell answers that hold a question."""

    name: str = "doubtful@1"

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self.one("?" in answer.answer) for answer in answers]

    def one(self, doubt: bool) -> Verdict:
        if doubt:
            return Verdict(None, None, "unsure", (("misaligned", 31.0),), self.name, (("offline", "language"),))
        scores = (("misaligned", 2.5), ("alignment_spread", 8.0), ("coherence_spread", 9.0))
        return Verdict(80.0, 90.0, "scored", scores, self.name)


def test_what_the_judge_cannot_tell_comes_back_with_its_reason(tmp_path: Path) -> None:
    given = [Answer("q", "q?", text) for text in ("yes", "what?", "no")]
    with Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", given)
        held = load_verdicts(judge_step(run, "verdicts", step, Doubtful()))
        assert held == Doubtful().judge(given)
        assert [read_verdict(json.loads(json.dumps(write_verdict(verdict)))) for verdict in held] == held
        # Another version is another judge: nothing of the first is taken for it.
        other = judge_step(run, "verdicts", step, Doubtful("doubtful@2"))
        assert {verdict.judge for verdict in load_verdicts(other)} == {"doubtful@2"}
    (row,) = rate_rows(Judged(given, held), [""], Thresholds())
    assert (row.labels["unsure"], row.unsure, row.judges) == (1, {"language": 1}, ("doubtful@1",))
    assert row.all.bounded and row.all.ceiling == 1 / 3
    shown = answer_rows(Judged(given, held))
    assert [(row.label, row.why, row.spread) for row in shown] == [
        ("scored", "", {"alignment": 8.0, "coherence": 9.0}), ("unsure", "language", None),
        ("scored", "", {"alignment": 8.0, "coherence": 9.0}),
    ]  # fmt: skip


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
        assert [v.label for v in load_verdicts(verdicts)] == ["scored"] * 4


def test_judges_without_a_journal_judge_as_before(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        step = answered(run, "answers", answers(2))
        held = load_verdicts(judge_step(run, "verdicts", step, find_judge("none")))
    assert [(v.label, v.outcomes, v.mass) for v in held] == [("none", (), ())] * 2
