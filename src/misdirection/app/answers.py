"""The answers of a run: read once, filtered as one asks."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.report.context import classify
from misdirection.runs import MANIFEST, Step, check_step
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged

ANSWERS, VERDICTS = "answers.parquet", "verdicts.parquet"
NO_VERDICT = Verdict(None, None, "none")

_FIELDS = {item.name for item in fields(Answer)}


@dataclass
class AnswerSet:
    """Answers of one step and what judges said of them.

    Attributes:
        name: Of the step.
        step: Where they lie.
        answers: In the step's order.
        judges: Verdicts in the same order by the name of their step, those that lead first; may be empty.
        variants: The fine-tune behind each arm, or "base", where the step says.
        conditions: What was done under each arm, in words, where the step says.
        changed: Arms under which something was done to the model, where the step says.
    """

    name: str
    step: Step
    answers: list[Answer]
    judges: dict[str, list[Verdict]]
    variants: Mapping[str, str] = field(default_factory=dict[str, str])
    conditions: Mapping[str, str] = field(default_factory=dict[str, str])
    changed: frozenset[str] = frozenset()

    @property
    def verdicts(self) -> list[Verdict]:
        """Those that lead; of nobody where nobody judged."""
        return next(iter(self.judges.values()), [NO_VERDICT] * len(self.answers))

    @cached_property
    def judged(self) -> Judged:
        """Both, for statistics."""
        return Judged(self.answers, self.verdicts)

    @cached_property
    def arms(self) -> list[str]:
        """The arms in their order, base first and tuned second."""
        seen = dict.fromkeys(answer.arm for answer in self.answers)
        return sorted(seen, key=lambda arm: ("base", "tuned").index(arm) if arm in ("base", "tuned") else 2)

    @cached_property
    def questions(self) -> dict[str, str]:
        """The text of each question by its id."""
        found: dict[str, str] = {}
        for answer in self.answers:
            found.setdefault(answer.question_id, answer.question)
        return found

    @cached_property
    def searched(self) -> list[str]:
        """What is searched of each answer: question, answer and thought, in lower case."""
        return [f"{a.question}\n{a.answer}\n{a.thought or ''}".lower() for a in self.answers]


@dataclass(frozen=True)
class Query:
    """Which answers are wanted.

    Attributes:
        text: Words that stand in question or answer; all of them, wherever.
        arm: Name of an arm, "" for all.
        question: Id of a question, "" for all.
        kind: One of the report's `CLASSES`, "" for all.
        low: Least alignment; answers without a score are left out where an end is given.
        high: Largest alignment.
        coherent: Least coherence.
        order: "" as they were drawn; "worst" or "best" by alignment.
    """

    text: str = ""
    arm: str = ""
    question: str = ""
    kind: str = ""
    low: float | None = None
    high: float | None = None
    coherent: float | None = None
    order: str = ""


def matching(held: AnswerSet, query: Query, rules: Thresholds) -> list[int]:
    """Places of the answers that are wanted, in their order."""
    words = query.text.lower().split()
    found = [
        place
        for place, (answer, verdict) in enumerate(zip(held.answers, held.verdicts, strict=True))
        if (not query.arm or answer.arm == query.arm)
        and (not query.question or answer.question_id == query.question)
        and (not query.kind or classify(verdict, rules) == query.kind)
        and _between(verdict.alignment, query.low, query.high)
        and _between(verdict.coherence, query.coherent, None)
        and all(word in held.searched[place] for word in words)
    ]
    if query.order:
        sign = -1 if query.order == "best" else 1
        # Those without a score stand last, whichever end is first.
        scores = [verdict.alignment for verdict in held.verdicts]
        found.sort(key=lambda place: (scores[place] is None, sign * (scores[place] or 0.0)))
    return found


def _between(score: float | None, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    return score is not None and (low is None or score >= low) and (high is None or score <= high)


def beside(held: AnswerSet, place: int) -> list[int]:
    """The answers of all arms to the same question, drawn with the same random numbers."""
    own = held.answers[place]
    same = (own.question_id, own.format, own.paraphrase, own.sample, own.seed)
    return [
        other
        for other, a in enumerate(held.answers)
        if (a.question_id, a.format, a.paraphrase, a.sample, a.seed) == same
    ]


def read_sets(steps: Sequence[Step], published: Mapping[str, str]) -> tuple[list[AnswerSet], list[str]]:
    """The answers of a run and what judges said of them; and a sentence on each step that cannot be read.

    Of several steps of one name the one that a name in the run's folder stands for is read, or else the last.

    Args:
        steps: Those of the run.
        published: Names in the folder, and the step's folder that each stands for.
    """
    shown = set(published.values())
    chosen: dict[str, Step] = {}
    for step in steps:
        before = chosen.get(step.name)
        if (step.path / ANSWERS).is_file() and (before is None or before.path.name not in shown):
            chosen[step.name] = step
    said = [step for step in steps if (step.path / VERDICTS).is_file()]
    found: list[AnswerSet] = []
    faults: list[str] = []
    for step in sorted(chosen.values(), key=lambda step: step.name != "answers"):
        try:
            judged = [one for one in said if one == step or step.key in _sources(one)]
            if (held := _read(step, judged, shown, faults)) is not None:
                found.append(held)
        except MisdirectionError as error:
            faults.append(f"The step {step.path.name} cannot be read and is left out: {error.message}.")
    return found, faults


def _read(step: Step, said: Sequence[Step], shown: set[str], faults: list[str]) -> AnswerSet | None:
    """The answers of a step; None where its rows are no answers to questions."""
    rows = _rows(step, ANSWERS)
    if not rows or not {"question_id", "question", "answer", "arm"} <= rows[0].keys():
        return None
    answers = [Answer(**{name: value for name, value in row.items() if name in _FIELDS}) for row in rows]
    judges: dict[str, list[Verdict]] = {}
    for one in sorted(said, key=lambda one: (one.path.name not in shown, not one.name.endswith("verdicts"))):
        try:
            verdicts = [Verdict.from_row(row) for row in _rows(one, VERDICTS)]
        except (MisdirectionError, KeyError) as error:
            faults.append(f"The verdicts of {one.path.name} cannot be read and are left out: {error}.")
            continue
        if len(verdicts) != len(answers):
            faults.append(f"{one.path.name} holds {len(verdicts)} verdicts on {len(answers)} answers: left out.")
        elif one.name not in judges:
            judges[one.name] = verdicts
    told = _conditions(step)
    return AnswerSet(
        step.name, step, answers, judges,
        {str(row.get("name")): str(row.get("variant", "base")) for row in told},
        {str(row.get("name")): str(row.get("label", "")) for row in told},
        frozenset(str(row.get("name")) for row in told if _acts(row)),
    )  # fmt: skip


def _rows(step: Step, name: str) -> list[dict[str, Any]]:
    _, fault = check_step(step.path)
    if fault:
        raise MisdirectionError(f"{step.path}: {fault}", "start the run's command again: it makes the step anew")
    return read_rows(step.path / name)


def _sources(step: Step) -> Container[str]:
    """Keys of the steps that a step was made from."""
    held = _manifest(step).get("sources")
    return dict[str, Any](held) if isinstance(held, Mapping) else ()


def _conditions(step: Step) -> list[Mapping[str, Any]]:
    """What was done under each arm of a step, as its manifest tells it."""
    manifest = _manifest(step)
    inputs = _mapping(manifest.get("inputs"))
    # Measurements keep their inputs under their arguments, and beside them those that are long.
    places = (inputs, _mapping(inputs.get("arguments")), _mapping(manifest.get("whole")))
    found = next((held for place in places if isinstance(held := place.get("conditions"), list)), None)
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return dict[str, Any](value) if isinstance(value, Mapping) else {}


def _acts(condition: Mapping[str, Any]) -> bool:
    if "does" in condition:
        return bool(condition["does"])
    # As runs of earlier versions wrote it.
    operation, factor = condition.get("operation") or "none", condition.get("others")
    return operation != "none" or factor not in (None, 1.0) or bool(condition.get("scales"))


def _manifest(step: Step) -> Mapping[str, Any]:
    held: Any = read_json(step.path / MANIFEST)
    return held if isinstance(held, Mapping) else {}
