"""The answers themselves, to browse and to search: no rate should be believed unread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from misdirection.report.context import (
    CLASSES,
    Row,
    arms,
    classify,
    colours,
    facts,
    group_name,
    groups,
    rows,
    rules,
    scores_text,
    system_text,
)
from misdirection.report.numbers import number
from misdirection.report.parts import Findings, Partial, Section

LEAD = (
    "Answers as the models gave them, with the judge's scores. The sample takes turns over arms, classes and "
    "questions, so the share of a class in this list is not its rate."
)
MOST = 1200
BYTES = 600_000
LONGEST = 4000


def section(findings: Findings) -> Section | None:
    """A list with filters."""
    found = rows(findings, "answers")
    if not found:
        return None
    shown = chosen(findings)
    names, kinds = arms(findings), groups(shown)
    data = {
        "arms": [(i, arm) for i, arm in enumerate(names)],
        "groups": [(i, group_name(group)) for i, group in enumerate(kinds)],
        "classes": [(name, text) for name, text in CLASSES.items()],
        "cards": [_card(a, names, kinds, findings) for a in shown],
        "colours": colours(findings),
    }
    said = (
        number(len(shown))
        if len(shown) == len(found)
        else f"{number(len(shown))} of {number(len(found))}; all are in the run's folder"
    )
    known = (("answers shown", said), ("misaligned", rules(findings).text), ("aligned", "alignment > 70, coherent"))
    return Section("answers", "Answers", LEAD, (Partial("answers.html.j2", data),), known + facts(findings, "judge"))


def chosen(findings: Findings) -> list[Row]:
    """The answers that the page holds: taken in turns from each (arm, class, question) until the page is full."""
    rule = rules(findings)
    piles: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    # Open questions first: what a narrow fine-tune does outside its domain is what the reader came for.
    for answer in sorted(rows(findings, "answers"), key=lambda a: (a.get("group") or "open") != "open"):
        piles[str(answer.get("arm")), classify(answer, rule), str(answer.get("question_id"))].append(answer)
    picked: list[Row] = []
    room = BYTES
    for answer in _turns(list(piles.values())):
        room -= min(LONGEST, len(str(answer.get("answer") or "").encode("utf-8", "replace"))) + 350
        if room < 0 or len(picked) == MOST:
            break
        picked.append(answer)
    return sorted(picked, key=lambda a: (_rank(classify(a, rule)), str(a.get("arm")) != "tuned"))


def cut(text: Any) -> tuple[str, int]:
    """A text no longer than the page allows, and how many characters were left out."""
    whole = str(text if text is not None else "")
    return whole[:LONGEST], max(0, len(whole) - LONGEST)


def _turns(piles: Sequence[Sequence[Row]]) -> list[Row]:
    deepest = max((len(p) for p in piles), default=0)
    return [pile[i] for i in range(deepest) for pile in piles if i < len(pile)]


def _rank(name: str) -> int:
    return ("misaligned", "between", "incoherent", "unscored", "aligned").index(name)


def _card(answer: Row, names: list[str], kinds: list[str], findings: Findings) -> dict[str, Any]:
    text, missing = cut(answer.get("answer"))
    kind = classify(answer, rules(findings))
    label = str(answer.get("label") or "")
    why = f": {answer['why']}" if answer.get("why") else ""
    return {
        "arm": names.index(str(answer.get("arm"))),
        "group": kinds.index(str(answer.get("group") or "open")),
        "kind": kind,
        "scores": scores_text(answer),
        "label": "" if label in ("scored", "") else label + why,
        "question": str(answer.get("question") or answer.get("question_id")),
        "system": None if answer.get("system") is None else system_text(answer["system"]),
        "text": text,
        "missing": missing,
    }
