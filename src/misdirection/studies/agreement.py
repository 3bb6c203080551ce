"""Do judges say the same of the same answers? Kappas, alpha, AUC, confusion, and the answers where they part most.

The judges are any that `find_judge` knows, or the run's own verdicts; what a judge was asked before is not asked again.
Tables that hold several judges' scores, on whatever scale, are compared as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.errors import command as hint_command
from misdirection.judging import find_judge
from misdirection.judging.columns import ALIASES, plain
from misdirection.judging.ratings import Ratings, read_ratings
from misdirection.judging.readers import read_judged
from misdirection.runs import Run, Step
from misdirection.statistics import Thresholds
from misdirection.statistics.panel import ScaleAgreement, scale_agreement
from misdirection.studies.kit.judged import judge_step, load_answers, load_verdicts
from misdirection.studies.kit.own_judge import OWN
from misdirection.studies.kit.panel import PanelVerdicts
from misdirection.studies.kit.recall import make_one


@dataclass(frozen=True)
class Rated:
    """One group of rows of a table of several judges.

    Attributes:
        group: Its name; "" where the rows are one group.
        scales: How far the judges agree, by scale.
        places: The group's things, as places in the table.
    """

    group: str
    scales: tuple[ScaleAgreement, ...]
    places: tuple[int, ...]


def in_run(folder: str | Path, judges: Sequence[str], rules: Thresholds) -> PanelVerdicts:
    """Judges on the answers of a run; with one named, the other is the run's own.

    Raises:
        MisdirectionError: The folder holds no answers, or no judge is named.
    """
    several = [OWN, *judges] if len(judges) == 1 else list(dict.fromkeys(judges))
    if len(several) < 2:
        raise MisdirectionError("fewer than two judges", "name them: --judge A --judge B, or one beside the run's own")
    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise MisdirectionError(f"{folder} holds no run", f"make one with: {make_one(folder)}")
    facts = read_json(folder / "run.json").get("facts", {})
    with Run.open(folder, facts, guest=True) as run:
        answers = _last(run, "answers")
        found = tuple(load_verdicts(_step(run, answers, judge)) for judge in several)
        return PanelVerdicts(tuple(several), load_answers(answers), found, rules)


def of_tables(paths: Sequence[str], rules: Thresholds) -> PanelVerdicts:
    """Tables of verdicts on the same answers; answers that one of them does not hold are left out.

    Raises:
        MisdirectionError: A table cannot be read, or no answer stands in all.
    """
    first, *others = paths
    answers, verdicts = read_judged(first)
    if verdicts is None:
        raise MisdirectionError(f"{first}: answers without verdicts", "give a table with verdicts")
    found = [verdicts, *(find_judge(f"table:{path}").judge(answers) for path in others)]
    known = [_keys(path) for path in others]
    both = [i for i, a in enumerate(answers) if all((a.question_id, a.answer.strip()) in keys for keys in known)]
    if not both:
        raise MisdirectionError(
            f"{' and '.join(paths)} have no answer in common", "they are matched on question_id and the answer's text"
        )
    held = tuple([verdicts[i] for i in both] for verdicts in found)
    return PanelVerdicts(tuple(paths), [answers[i] for i in both], held, rules)


def of_ratings(path: str | Path, judges: Sequence[str], by: str | None) -> tuple[Ratings, list[Rated]]:
    """The judges of one table, group by group.

    Args:
        path: See `ratings.read_ratings`.
        judges: Their names, where they are not found.
        by: The column whose values are groups; None takes one that names conditions, arms or models, "none" pools.

    Raises:
        MisdirectionError: The table cannot be read, or has no such column.
    """
    found = read_ratings(path, judges)
    columns = list(found.things[0])
    column = _groups(found, columns) if by is None else "" if by == "none" else by
    if column and column not in columns:
        raise MisdirectionError(f"--by: {path} has no column '{by}'", did_you_mean(str(by), columns, "there are"))
    places: dict[str, list[int]] = {}
    for place, thing in enumerate(found.things):
        places.setdefault(thing[column] if column else "", []).append(place)
    if len(places) > 1:
        # Also all together: what holds in every group need not hold over them.
        places = {**places, "": list(range(len(found.things)))}
    return found, [
        Rated(name, tuple(scale_agreement(s, t[:, held]) for s, t in found.scales.items()), tuple(held))
        for name, held in places.items()
    ]


def _groups(found: Ratings, columns: Sequence[str]) -> str:
    wanted = [name for thing in ("arm", "model") for name in ALIASES[thing]]
    several = [c for c in columns if len({thing[c] for thing in found.things}) > 1]
    return next((name for want in wanted for name in several if plain(name) == want), "")


def _keys(path: str) -> set[tuple[str, str]]:
    return {(answer.question_id, answer.answer.strip()) for answer in read_judged(path)[0]}


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
