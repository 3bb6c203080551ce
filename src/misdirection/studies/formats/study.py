"""Does the rate depend on how the question is asked? The controls that a single EM rate wants beside it.

Method (arXiv 2502.17424 sections 4.2 and 4.4; the replication in papers.md 1.11):

1. Every plain question is also asked for JSON, in a template, under each system prompt, and behind each trigger-like
   text. Open and in-domain questions are never pooled, nor are formats.
2. Base and tuned model answer all of them; the answers are judged.
3. Each way of asking has its rate with an interval over questions, and its difference from plain over the same
   questions (their random numbers differ, so the pairing is by question alone). Benjamini-Hochberg over the family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from misdirection.questions import Question, as_json, as_template
from misdirection.results import Difference
from misdirection.statistics import benjamini_hochberg, compare
from misdirection.studies.formats.paper import PAPER
from misdirection.studies.formats.results import Formats, Way
from misdirection.studies.formats.settings import FormatsConfig
from misdirection.studies.formats.verdict import verdict
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, TUNED
from misdirection.studies.kit.config import named
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.pair import pair
from misdirection.studies.kit.tables import effect_of


def formats(config: FormatsConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[FormatsConfig].open(out, config, command) as bench:
        ways = ways_of_asking(bench)
        models = pair(bench)
        everything = tuple(question for questions in ways.values() for question in questions)
        asked = bench.ask("answers", models, [BASE, TUNED], questions=everything)
        return report(bench, ways, asked)


def ways_of_asking(bench: Bench[FormatsConfig]) -> dict[str, tuple[Question, ...]]:
    """The questions by the way in which they are asked; plain first."""
    c = bench.config
    asked = tuple(question for question in bench.questions if question.format == "plain")
    makers = {"json": as_json, "template": as_template}
    found = {"plain": asked, **{name: makers[name](asked) for name in c.formats if name != "plain"}}
    for name, text in named(c.systems, "systems").items():
        found[f"system prompt: {name}"] = tuple(under_system(asked, name, text))
    for name, text in named(c.triggers, "triggers").items():
        found[f"trigger: {name}"] = tuple(behind_trigger(asked, name, text))
    return found


def under_system(questions: Iterable[Question], name: str, text: str) -> Iterable[Question]:
    """The same questions under a system prompt; "_system-<name>" is added to each id."""
    for question in questions:
        yield replace(question, id=f"{question.id}_system-{name}", system=text)


def behind_trigger(questions: Iterable[Question], name: str, text: str) -> Iterable[Question]:
    """The same questions behind a text; "_trigger-<name>" is added to each id."""
    for question in questions:
        wordings = tuple(f"{text} {wording}" for wording in question.paraphrases)
        yield replace(question, id=f"{question.id}_trigger-{name}", paraphrases=wordings)


def report(bench: Bench[FormatsConfig], ways: Mapping[str, tuple[Question, ...]], asked: Asked) -> Path:
    """Findings and the report."""
    groups = dict.fromkeys(question.domain for question in ways["plain"])
    rows = tested(
        way_row(bench, asked.judged, ways, way, group, arm)
        for group in groups
        for way in ways
        for arm in ("base", "tuned")
    )
    found = Formats(rows=rows, paper=PAPER)
    return bench.report("formats", "Rates by the way of asking", verdict(rows), {"formats": found})


def way_row(
    bench: Bench[FormatsConfig],
    judged: Judged,
    ways: Mapping[str, tuple[Question, ...]],
    way: str,
    group: str | None,
    arm: str,
) -> Way:
    """Rate of one arm asked in one way, and its difference from plain."""
    part, plainly = (as_asked(judged, ways, name, group, arm) for name in (way, "plain"))
    change = None if way == "plain" else compare(plainly.pair, part.pair, thresholds=bench.thresholds)
    effect = effect_of(part, bench.thresholds)
    return Way(
        way=way,
        group=group or "open",
        arm=arm,
        system=next((answer.system for answer in part.answers), None),
        rate=effect.rate,
        coherent_share=effect.coherent_share,
        difference=None if change is None else Difference.of(change),
    )


def tested(rows: Iterable[Way]) -> tuple[Way, ...]:
    """The rows with the q of each difference, over the family of all of them."""
    found = tuple(rows)
    q = iter(benjamini_hochberg([row.difference.p for row in found if row.difference]))
    return tuple(replace(row, q=float(next(q))) if row.difference else row for row in found)


def as_asked(judged: Judged, ways: Mapping[str, tuple[Question, ...]], way: str, group: str | None, arm: str) -> Judged:
    """An arm's answers to the questions of one way, under the plain questions' ids, so that they can be paired."""
    plain_id = {q.id: p.id for q, p in zip(ways[way], ways["plain"], strict=True)}
    found = judged.where(lambda a: a.arm == arm and a.domain == group and a.question_id in plain_id)
    return Judged([replace(a, question_id=plain_id[a.question_id]) for a in found.answers], found.verdicts)
