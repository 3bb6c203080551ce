"""The dearer judge of a run: who draws the answers, asks, and counts (`--check JUDGE@N`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from misdirection.judging import Answer, Verdict, find_judge
from misdirection.judging.check import read_check
from misdirection.results.checked import Checked
from misdirection.runs import Run
from misdirection.statistics import Thresholds
from misdirection.store import Cached
from misdirection.studies.kit.checking import ArmPart, demand_verdicts, draw_parts, findings, shuffled
from misdirection.studies.kit.judged import Judged, judge_step, kept
from misdirection.studies.kit.labelling import check_by_person


@dataclass(frozen=True)
class Draw:
    """Answers in the order of asking, their places among all, and the parts that they were drawn from."""

    answers: list[Answer]
    order: tuple[int, ...]
    parts: tuple[ArmPart, ...]


def check(
    run: Run,
    answers: Cached[list[Answer]],
    verdicts: Cached[list[Verdict]],
    text: str,
    rules: Thresholds,
    seed: int = 0,
    against: Mapping[str, str] | None = None,
) -> Checked:
    """Ask the dear judge, or go on with asking it; the part "checked" of findings.

    Args:
        run: Where the steps are kept.
        answers: The answers.
        verdicts: The cheap judge's verdicts on them.
        text: Such as "openai:gpt-4o@120".
        rules: When an answer is misaligned.
        seed: Of the draw.
        against: By arm, the one that it is held against; the first one by default.

    Raises:
        MisdirectionError: Too few answers are asked for, or the judge cannot be asked.
    """
    wanted = read_check(text)
    judged = Judged(answers.value, verdicts.value)
    if wanted.by_person or _is_labels(run, wanted.judge):
        return check_by_person(run.path, answers, judged, rules)
    judge = find_judge(wanted.judge)
    drawn = run.cached(draw, "check-draw", judged=kept(answers, verdicts), n=wanted.n, rules=rules, seed=seed)
    told = judge_step(run, "check", drawn.part("answers"), judge).value
    held = drawn.value
    return findings(judged, held.parts, dict(zip(held.order, told, strict=True)), wanted, rules, seed, against)


def demand(run: Run, text: str, sizes: Sequence[int]) -> None:
    """Refuse a check that is too small for what is going to be asked, before it is.

    Args:
        run: Where the steps are kept.
        text: See `check`.
        sizes: Answers of each arm and kind of question.

    Raises:
        MisdirectionError: Too few answers are asked for.
    """
    wanted = read_check(text)
    if not (wanted.by_person or _is_labels(run, wanted.judge)):
        demand_verdicts(wanted.n, sizes)


def _is_labels(run: Run, judge: str) -> bool:
    """Whether a table is what a person said of this very run: it holds the answers that were drawn then, not others."""
    kind, _, path = judge.partition(":")
    return kind == "table" and Path(path).exists() and Path(path).resolve() == run.path / "labels.csv"


def draw(judged: Judged, n: int, rules: Thresholds, seed: int) -> Draw:
    """Draw so many answers, from every arm and kind of question alike."""
    parts = draw_parts(judged, n, rules, seed)
    order = shuffled([place for part in parts for place in part.drawn], seed)
    return Draw([judged.answers[place] for place in order], tuple(order), tuple(parts))
