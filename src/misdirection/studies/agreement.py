"""Do two judges say the same of the same answers? Kappa, AUC, confusion, and the answers where they are furthest apart.

The judges are any that `find_judge` knows, or the run's own verdicts; what a judge was asked before is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.errors import command as hint_command
from misdirection.judging import Answer, Verdict, find_judge
from misdirection.judging.readers import read_judged
from misdirection.runs import Run, Step
from misdirection.statistics import Agreement, Thresholds, agreement
from misdirection.studies.judged import judge_step, load_answers, load_verdicts
from misdirection.studies.recall import make_one

OWN = "own"
"""Stands for the verdicts that a run has already."""


@dataclass(frozen=True)
class Compared:
    """Two judges' verdicts on the same answers.

    Attributes:
        names: Of the judges.
        answers: What both judged.
        first: Verdicts of the first.
        second: Verdicts of the second.
        result: How far they agree.
    """

    names: tuple[str, str]
    answers: list[Answer]
    first: list[Verdict]
    second: list[Verdict]
    result: Agreement


def in_run(folder: str | Path, judges: Sequence[str], rules: Thresholds, command: str = "") -> Compared:
    """Two judges on the answers of a run; with one named, the other is the run's own.

    Raises:
        MisdirectionError: The folder holds no answers, or not one or two judges are named.
    """
    pair = [OWN, *judges] if len(judges) == 1 else list(judges)
    if len(pair) != 2:
        raise MisdirectionError(f"{len(judges)} judges", "name two: --judge A --judge B, or one beside the run's own")
    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise MisdirectionError(f"{folder} holds no run", f"make one with: {make_one(folder)}")
    facts = read_json(folder / "run.json").get("facts", {})
    with Run.open(folder, facts | ({"command": command} if command else {})) as run:
        answers = _last(run, "answers")
        found = [load_verdicts(_step(run, answers, judge)) for judge in pair]
        return _compared((pair[0], pair[1]), load_answers(answers), found[0], found[1], rules)


def of_tables(first: str, second: str, rules: Thresholds) -> Compared:
    """Two tables of verdicts on the same answers; answers that only one of them holds are left out.

    Raises:
        MisdirectionError: A table cannot be read, or no answer stands in both.
    """
    held = read_judged(first)
    if held[1] is None:
        raise MisdirectionError(f"{first}: answers without verdicts", "give a table with verdicts")
    others = find_judge(f"table:{second}").judge(held[0])
    known = _keys(second)
    both = [i for i, answer in enumerate(held[0]) if (answer.question_id, answer.answer.strip()) in known]
    if not both:
        raise MisdirectionError(
            f"{first} and {second} have no answer in common", "they are matched on question_id and the answer's text"
        )
    return _compared(
        (first, second), [held[0][i] for i in both], [held[1][i] for i in both], [others[i] for i in both], rules
    )


def _keys(path: str) -> set[tuple[str, str]]:
    return {(answer.question_id, answer.answer.strip()) for answer in read_judged(path)[0]}


def _compared(
    names: tuple[str, str], answers: list[Answer], first: list[Verdict], second: list[Verdict], rules: Thresholds
) -> Compared:
    return Compared(names, answers, first, second, agreement(first, second, rules))


def _step(run: Run, answers: Step, judge: str) -> Step:
    # Under a name of its own, so that the run's own verdicts stay the newest of theirs.
    return _last(run, "verdicts") if judge == OWN else judge_step(run, "agreement", answers, find_judge(judge))


def _last(run: Run, name: str) -> Step:
    """The newest step of this name, or whose name ends in it (a study has several)."""
    steps = run.steps()
    found = [step for step in steps if step.name == name] or [s for s in steps if s.name.endswith(f"-{name}")]
    if not found:
        raise MisdirectionError(f"{run.path} holds no {name}", f"judge it first: {hint_command('judge', run.path)}")
    return found[-1]
