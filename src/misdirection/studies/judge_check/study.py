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
from dataclasses import replace
from pathlib import Path

import misdirection
from misdirection import progress
from misdirection.artefacts import file_hash, plain, read_json, write_json
from misdirection.judging import find_judge
from misdirection.judging.checked import keep_record, revision_of
from misdirection.results import SCHEMA
from misdirection.runs import read_log
from misdirection.statistics import Thresholds
from misdirection.studies.judge_check.measures import measure
from misdirection.studies.judge_check.part import take_part
from misdirection.studies.judge_check.results import Check, CheckResults, CorpusFacts
from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.judge_check.verdict import verdict
from misdirection.studies.kit.judged import given_answers, judge_step
from misdirection.studies.kit.record import reproduce
from misdirection.studies.kit.settings_file import open_run

KEPT = (
    "n", "scored", "labels", "kappa", "rates", "confusion", "scales", "calibration", "judge", "spec", "revision",
    "corpus",
)  # fmt: skip
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
        answers = run.cached(given_answers, "answers", answers=list(part.answers))
        verdicts = judge_step(run, "verdicts", answers, judge).value
        measured = measure(part, config.judge, verdicts, rules)
        check = Check(
            **vars(measured),
            judge=judge.name,
            spec=config.judge,
            revision=revision_of(config.judge),
            corpus=CorpusFacts(
                file=Path(config.corpus).name, sha256=file_hash(config.corpus), size=part.size, part=part.key
            ),
        )
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        kept = {name: getattr(check, name) for name in KEPT}
        check = replace(check, record=str(keep_record(plain({**kept, "created": created}))))
        found = CheckResults(
            schema=SCHEMA,
            kind="judge_check",
            title=f"Check of the judge {config.judge}",
            created=created,
            version=misdirection.__version__,
            verdict=verdict(check),
            settings=settings(config, check),
            thresholds=rules,
            model=None,
            asked={},
            check=check,
            reproduce=reproduce(run, logged, command or "misdirection.studies.judge_check(...)", 0),
        )
        write_json(run.path / "findings.json", found.to_json())
    from misdirection.studies.page import write_report

    return write_report(read_json(Path(out) / "findings.json"), Path(out) / "report.html")


def settings(config: CheckConfig, check: Check) -> dict[str, str]:
    """The settings as a reader is told them."""
    corpus = check.corpus
    return {
        "judge": check.judge,
        "misaligned": f"alignment < {config.alignment_below:g} and coherence > {config.coherence_above:g}",
        "corpus": f"{config.corpus}, {corpus.size} answers with both scores, sha256 {corpus.sha256[:12]}",
        "part": f"{check.n} answers, in turns over questions, bands and families ({corpus.part})",
    }
