"""Answers with their verdicts, and the steps of a run that hold them; no model is needed, and none is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_rows, write_rows
from misdirection.judging import Answer, Journaled, Judge, Verdict
from misdirection.judging.rubric_judge import journal_name
from misdirection.runs import Run, Step
from misdirection.statistics.columns import Columns, columns_of
from misdirection.store import Cached


@dataclass(frozen=True)
class Judged:
    """Answers with their verdicts, in the same order."""

    answers: list[Answer]
    verdicts: list[Verdict]

    def arm(self, name: str) -> Judged:
        """Those of one arm."""
        return self.where(lambda answer: answer.arm == name)

    def where(self, keep: Callable[[Answer], bool]) -> Judged:
        """Those whose answer passes."""
        kept = [(a, v) for a, v in zip(self.answers, self.verdicts, strict=True) if keep(a)]
        return Judged([a for a, _ in kept], [v for _, v in kept])

    def at(self, places: Sequence[int]) -> Judged:
        """Those at some places."""
        return Judged([self.answers[i] for i in places], [self.verdicts[i] for i in places])

    @cached_property
    def columns(self) -> Columns:
        """Both as arrays, read once for all rates that are made of them."""
        return columns_of(self.answers, self.verdicts)

    @cached_property
    def parts(self) -> Mapping[tuple[str | None, str, str], Judged]:
        """Those of each (domain, format, arm), which alone may stand under one rate."""
        places: dict[tuple[str | None, str, str], list[int]] = {}
        for place, answer in enumerate(self.answers):
            places.setdefault((answer.domain, answer.format, answer.arm), []).append(place)
        return {key: self.at(held) for key, held in places.items()}

    @property
    def pair(self) -> tuple[list[Answer], list[Verdict]]:
        """What `statistics` takes."""
        return self.answers, self.verdicts


def kept(answers: Cached[list[Answer]], verdicts: Cached[list[Verdict]]) -> Judged:
    """Both as an argument of a measurement: keyed by their steps, handed over as what these hold."""
    return Judged(cast(Any, answers), cast(Any, verdicts))


def given_answers(answers: list[Answer]) -> list[Answer]:
    """Answers that are there already, to be a step as those are that were drawn."""
    return answers


def judge_answers(answers: list[Answer] | Step, judge: Judge) -> list[Verdict]:
    """The verdicts of a judge, in the order of the answers."""
    return judge.judge(load_answers(answers) if isinstance(answers, Step) else answers)


def judge_step(run: Run, name: str, answers: Step, judge: Judge, shelf: str = "") -> Cached[list[Verdict]]:
    """Judge the answers of a step; `verdicts.parquet`, in the same order, shown in the run as `SHELF/NAME.parquet`.

    A judge that keeps a journal keeps it in the run, beside the steps: a kill loses only what is being asked, and what
    one step asked, another knows.
    """
    able: Judge = judge
    if isinstance(judge, Journaled):
        able = judge.with_journal(run.workspace("judging", {"judge": journal_name(judge.name)}) / "journal.jsonl")
    verdicts = run.cached(judge_answers, name, answers=answers, judge=able)
    run.publish(f"{shelf}/{name}.parquet".lstrip("/"), verdicts.path / "verdicts.parquet")
    return verdicts


def load_answers(step: Step) -> list[Answer]:
    """The answers that a step holds."""
    return [Answer(**row) for row in read_rows(step.path / "answers.parquet")]


def load_verdicts(step: Step) -> list[Verdict]:
    """The verdicts that a step holds."""
    return read_verdicts(step.path / "verdicts.parquet")


def read_verdicts(path: Path) -> list[Verdict]:
    """The verdicts of a file of Parquet."""
    return [Verdict.from_row(row) for row in read_rows(path)]


def write_verdicts(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write verdicts as Parquet, one row each, in their order."""
    write_rows(path, [verdict.to_row() for verdict in verdicts])
