"""How good is a judge? Asked about answers that another judge scored before, how far does it say the same?

Method:

1. A fixed part of the corpus is taken, the same share of every question, band of alignment and family (`part`).
2. The judge scores it; what it said is kept as it comes, so that a check goes on where it was stopped.
3. Kappa of "misaligned", the two rates, correlation, calibration and failures are measured, over all and by question
   (`measures`).
4. The figures are kept by the judge's name and revision (`judging.checked`): reports of rates by this judge tell them.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import misdirection
from misdirection import progress
from misdirection.artefacts import file_hash, plain, read_json, write_json, write_rows
from misdirection.judging import find_judge
from misdirection.judging.checked import keep_record, revision_of
from misdirection.results import SCHEMA
from misdirection.runs import read_log
from misdirection.statistics import Thresholds
from misdirection.studies.judge_check.measures import measure
from misdirection.studies.judge_check.part import Part, take_part
from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.kit.judged import judge_step, load_verdicts
from misdirection.studies.kit.record import reproduce
from misdirection.studies.kit.settings_file import open_run

KEPT = ("n", "scored", "labels", "kappa", "rates", "confusion", "scales", "calibration")
"""Figures of the record."""


def judge_check(config: CheckConfig, out: str | Path, command: str = "") -> Path:
    """Check a judge in the folder `out`; gives the report's path.

    Raises:
        MisdirectionError: The corpus cannot be read, or the judge not be asked; what it said so far is kept.
    """
    config = config.completed()
    rules = Thresholds(config.alignment_below, config.coherence_above)
    judge = find_judge(config.judge)
    with progress.phase("reading the corpus"):
        part = take_part(config.corpus, config.n, config.how)
    progress.say(f"  {config.corpus}: {part.told}; {len(part.answers)} of {part.size:,} answers with both scores taken")
    with open_run(out, config, command) as run:
        logged = len(read_log(run.path))
        answers = run.step(
            "answers", {"part": part.key}, lambda folder: write_rows(folder / "answers.parquet", part.answers)
        )
        verdicts = load_verdicts(judge_step(run, "verdicts", answers, judge))
        measured = measure(part, config.judge, verdicts, rules)
        found = findings(config, part, measured, judge.name, rules)
        record = {name: found["check"][name] for name in (*KEPT, "judge", "spec", "revision", "corpus")}
        found["check"]["record"] = str(keep_record(plain({**record, "created": found["created"]})))
        found["reproduce"] = reproduce(run, logged, command or "misdirection.studies.judge_check(...)", 0)
        write_json(run.path / "findings.json", plain({"schema": SCHEMA, **found}))
    from misdirection.studies.page import write_report

    return write_report(read_json(Path(out) / "findings.json"), Path(out) / "report.html")


def findings(config: CheckConfig, part: Part, measured: dict[str, Any], name: str, rules: Thresholds) -> dict[str, Any]:
    """Every figure of the report."""
    sha256 = file_hash(config.corpus)
    corpus = {"file": Path(config.corpus).name, "sha256": sha256, "size": part.size, "part": part.key}
    check = {**measured, "judge": name, "spec": config.judge, "revision": revision_of(config.judge), "corpus": corpus}
    return {
        "kind": "judge_check",
        "title": f"Check of the judge {config.judge}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": misdirection.__version__,
        "verdict": verdict(config.judge, measured, Path(config.corpus).name),
        "settings": {
            "judge": name,
            "misaligned": f"alignment < {config.alignment_below:g} and coherence > {config.coherence_above:g}",
            "corpus": f"{config.corpus}, {part.size} answers with both scores, sha256 {sha256[:12]}",
            "part": f"{len(part.answers)} answers, in turns over questions, bands and families ({part.key})",
        },
        "thresholds": rules,
        "check": check,
        "notes": [],
    }


def verdict(spec: str, measured: dict[str, Any], corpus: str) -> dict[str, Any]:
    """What came out, in a sentence and its details."""
    kappa, rates = measured["kappa"], measured["rates"]
    if kappa["value"] is None:
        sentence = (
            f"How far {spec} agrees with the judge of {corpus} cannot be told: {measured['scored']} answers scored."
        )
        return {"state": "unclear", "sentence": sentence, "details": []}
    gap = rates["difference"]
    sentence = (
        f"{spec} calls {_percent(rates['judge'])} of the answers misaligned for {_percent(rates['reference'])} by the "
        f"judge of {corpus}; kappa of the two is {kappa['value']:.2f}{_ends(kappa, 1, 2)}."
    )
    lost = measured["n"] - measured["scored"]
    labels = ", ".join(f"{n} {label}" for label, n in measured["labels"].items() if label != "scored")
    details = [
        f"Its rate minus the other: {100 * gap['value']:+.1f} points{_ends(gap, 100, 1)}; bands of alignment count as "
        "often as they occur, and every question the same.",
        f"{lost} of {measured['n']} answers have no score by it" + (f": {labels}." if lost else "."),
    ]
    return {"state": "checked", "sentence": sentence, "details": details}


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{100 * share:.1f} %"


def _ends(figure: dict[str, float | None], times: float, digits: int) -> str:
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return ""
    return f" ({times * low:.{digits}f} to {times * high:.{digits}f})"
