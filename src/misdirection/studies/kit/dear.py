"""The dearer judge of a run: who draws the answers, asks, and counts (`--check JUDGE@N`)."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import plain, read_json, write_json, write_rows
from misdirection.judging import find_judge
from misdirection.judging.check import Check, read_check
from misdirection.results.checked import Checked
from misdirection.runs import Run, Step
from misdirection.statistics import Thresholds
from misdirection.studies.kit.checking import draw_parts, findings, load_parts, shuffled
from misdirection.studies.kit.judged import Judged, judge_step, load_judged, load_verdicts
from misdirection.studies.kit.labelling import check_by_person

VERSION = 1
"""Of the draw; another one draws anew."""


def check(run: Run, answers: Step, verdicts: Step, text: str, rules: Thresholds, seed: int = 0) -> Checked:
    """Ask the dear judge, or go on with asking it; the part "checked" of findings.

    Args:
        run: Where the steps are kept.
        answers: Step with the answers.
        verdicts: Step with the cheap judge's verdicts.
        text: Such as "openai:gpt-4o@120".
        rules: When an answer is misaligned.
        seed: Of the draw.

    Raises:
        MisdirectionError: Too few answers are asked for, or the judge cannot be asked.
    """
    wanted = read_check(text)
    judged = load_judged(answers, verdicts)
    if wanted.by_person or _is_labels(run, wanted.judge):
        return check_by_person(run.path, answers, judged, rules)
    judge = find_judge(wanted.judge)
    drawn = draw_step(run, answers, verdicts, judged, wanted, rules, seed)
    kept = read_json(drawn.path / "draw.json")
    told = load_verdicts(judge_step(run, "check", drawn, judge))
    return findings(judged, load_parts(kept["parts"]), dict(zip(kept["order"], told, strict=True)), wanted, rules, seed)


def _is_labels(run: Run, judge: str) -> bool:
    """Whether a table is what a person said of this very run: it holds the answers that were drawn then, not others."""
    kind, _, path = judge.partition(":")
    return kind == "table" and Path(path).exists() and Path(path).resolve() == run.path / "labels.csv"


def draw_step(
    run: Run, answers: Step, verdicts: Step, judged: Judged, wanted: Check, rules: Thresholds, seed: int
) -> Step:
    """The draw: `answers.parquet` in the order of asking, `draw.json` with parts, strata and places."""
    inputs = {"answers": answers, "verdicts": verdicts, "n": wanted.n, "seed": seed, "rules": rules, "draw": VERSION}

    def make(folder: Path) -> None:
        parts = draw_parts(judged, wanted.n, rules, seed)
        order = shuffled([place for part in parts for place in part.drawn], seed)
        write_rows(folder / "answers.parquet", [judged.answers[place] for place in order])
        write_json(folder / "draw.json", {"order": order, "parts": plain(parts)})

    return run.step("check-draw", inputs, make)
