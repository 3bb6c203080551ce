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
from typing import Any

from misdirection.questions import Question, as_json, as_template
from misdirection.statistics import benjamini_hochberg, compare, is_found
from misdirection.studies.formats.settings import FormatsConfig
from misdirection.studies.kit.bench import Asked, Bench, subject
from misdirection.studies.kit.conditions import BASE, TUNED
from misdirection.studies.kit.config import named
from misdirection.studies.kit.sentences import p_text
from misdirection.studies.kit.steps import Judged
from misdirection.studies.kit.tables import change_row, effect_row

PAPER = "rank-32 bad medical advice on Qwen2.5-14B: plain 22.3 %, template 7.0 %, JSON 0.6 % (a replication)"

NONE_FOUND = "No way of asking can be told from plain (q < 0.05)."


def formats(config: FormatsConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[FormatsConfig].open(out, config, command) as bench:
        ways = ways_of_asking(bench)
        models = subject(bench)
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
    rows = [
        way_row(bench, asked.judged, ways, way, group, arm)
        for group in dict.fromkeys(question.domain for question in ways["plain"])
        for way in ways
        for arm in ("base", "tuned")
    ]
    tested = [row for row in rows if row["difference"] is not None]
    for row, q in zip(tested, benjamini_hochberg([row["difference"]["p"] for row in tested]), strict=True):
        row["q"] = float(q)
    return bench.report(
        "formats", "Rates by the way of asking", verdict(rows), {"formats": {"rows": rows, "paper": PAPER}}
    )


def way_row(
    bench: Bench[FormatsConfig],
    judged: Judged,
    ways: Mapping[str, tuple[Question, ...]],
    way: str,
    group: str | None,
    arm: str,
) -> dict[str, Any]:
    """Rate of one arm asked in one way, and its difference from plain."""
    part, plainly = (as_asked(judged, ways, name, group, arm) for name in (way, "plain"))
    change = None if way == "plain" else compare(plainly.pair, part.pair, thresholds=bench.thresholds)
    systems = dict.fromkeys(answer.system for answer in part.answers)
    return {
        "way": way,
        "group": group or "open",
        "arm": arm,
        "system": next(iter(systems), None),
        **effect_row(part, bench.thresholds),
        "difference": None if change is None else change_row(change)["difference"],
        "q": None,
    }


def as_asked(judged: Judged, ways: Mapping[str, tuple[Question, ...]], way: str, group: str | None, arm: str) -> Judged:
    """An arm's answers to the questions of one way, under the plain questions' ids, so that they can be paired."""
    plain_id = {q.id: p.id for q, p in zip(ways[way], ways["plain"], strict=True)}
    found = judged.where(lambda a: a.arm == arm and a.domain == group and a.question_id in plain_id)
    return Judged([replace(a, question_id=plain_id[a.question_id]) for a in found.answers], found.verdicts)


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The tuned model's rates on open questions, way by way."""
    opened = [row for row in rows if row["group"] == "open" and row["arm"] == "tuned"]
    told = ", ".join(f"{row['way']} {100 * row['rate']['value']:.1f} %" for row in opened)
    moved = [row for row in opened if row["q"] is not None and is_found(row["q"])]
    details = [
        f"{row['way']}: {100 * row['difference']['value']:+.1f} points against plain "
        f"({100 * row['difference']['low']:+.1f} to {100 * row['difference']['high']:+.1f}), {p_text(row['q'], 'q')}."
        for row in moved
    ]
    sentence = f"Misaligned answers of the tuned model to open questions, of all answers: {told}."
    return {"state": "finding", "sentence": sentence, "details": details or [NONE_FOUND]}
