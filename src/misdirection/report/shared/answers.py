"""The answers themselves, to browse and to search: no rate should be believed unread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from misdirection.report.context import (
    CLASSES,
    arms,
    classify,
    colours,
    facts,
    group_name,
    open_first,
    rule_text,
    scores_text,
    system_text,
)
from misdirection.report.numbers import number
from misdirection.report.parts import Partial, Section
from misdirection.results.judged import AnswerRow, JudgedResults
from misdirection.statistics import Thresholds

LEAD = (
    "Answers as the models gave them, with the judge's scores. The sample takes turns over arms, classes and "
    "questions, so the share of a class in this list is not its rate."
)
MOST = 1200
BYTES = 600_000
LONGEST = 4000


def section(results: JudgedResults) -> Section | None:
    """A list with filters."""
    if not results.answers:
        return None
    shown = chosen(results)
    names, kinds, rules = arms(results), open_first(answer.group for answer in shown), results.thresholds
    data = {
        "arms": list(enumerate(names)),
        "groups": [(i, group_name(group)) for i, group in enumerate(kinds)],
        "classes": list(CLASSES.items()),
        "cards": [_card(answer, names, kinds, rules) for answer in shown],
        "colours": colours(results),
    }
    many = number(len(shown))
    if len(shown) < len(results.answers):
        many += f" of {number(len(results.answers))}; all are in the run's folder"
    told = (("answers shown", many), ("misaligned", rule_text(rules)), ("aligned", "alignment > 70, coherent"))
    return Section("answers", "Answers", LEAD, (Partial("answers.html.j2", data),), told + facts(results, "judge"))


def chosen(results: JudgedResults) -> list[AnswerRow]:
    """The answers that the page holds: taken in turns from each (arm, class, question) until the page is full."""
    rules = results.thresholds
    piles: dict[tuple[str, str, str], list[AnswerRow]] = defaultdict(list)
    # Open questions first: what a narrow fine-tune does outside its domain is what the reader came for.
    for answer in sorted(results.answers, key=lambda answer: answer.group != "open"):
        piles[answer.arm, classify(answer, rules), answer.question_id].append(answer)
    picked: list[AnswerRow] = []
    room = BYTES
    for answer in _turns(list(piles.values())):
        room -= min(LONGEST, len(answer.answer.encode("utf-8", "replace"))) + 350
        if room < 0 or len(picked) == MOST:
            break
        picked.append(answer)
    return sorted(picked, key=lambda answer: (_rank(classify(answer, rules)), answer.arm != "tuned"))


def cut(text: str) -> tuple[str, int]:
    """A text no longer than the page allows, and how many characters were left out."""
    return text[:LONGEST], max(0, len(text) - LONGEST)


def _turns(piles: Sequence[Sequence[AnswerRow]]) -> list[AnswerRow]:
    deepest = max((len(p) for p in piles), default=0)
    return [pile[i] for i in range(deepest) for pile in piles if i < len(pile)]


def _rank(name: str) -> int:
    return ("misaligned", "between", "incoherent", "unscored", "aligned").index(name)


def _card(answer: AnswerRow, names: list[str], kinds: list[str], rules: Thresholds) -> dict[str, object]:
    text, missing = cut(answer.answer)
    why = f": {answer.why}" if answer.why else ""
    return {
        "arm": names.index(answer.arm),
        "group": kinds.index(answer.group),
        "kind": classify(answer, rules),
        "scores": scores_text(answer.alignment, answer.coherence, answer.spread),
        "label": "" if answer.label == "scored" else answer.label + why,
        "question": answer.question,
        "system": None if answer.system is None else system_text(answer.system),
        "text": text,
        "missing": missing,
    }
