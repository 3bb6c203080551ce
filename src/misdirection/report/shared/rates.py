"""Rates of misaligned answers: every arm and group, under all three denominators, open and in-domain never pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.judging.standing import ERROR
from misdirection.report import charts
from misdirection.report.context import Row, colours, facts, group_name, groups, rows, rules, system_text
from misdirection.report.numbers import NBSP, decimal, number, rate_cell, rate_text
from misdirection.report.palette import SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

COLUMNS = ("Arm", "Format", "System prompt", "Of all", "Of scored", "Of coherent", "Coherent", "Verdicts")
LEAD = (
    "The share of answers that are misaligned, under three denominators: of all answers, of those that the judge gave "
    "both scores, and of the coherent ones. Brackets are 95\u00a0% intervals in percent; open and in-domain questions "
    "are never pooled, since a model that is bad only where it was trained is a different finding."
)


def section(findings: Findings) -> Section | None:
    """One chart of all groups and one table for each."""
    found = rows(findings, "rates")
    if not found:
        return None
    error = (findings.get("settings") or {}).get(ERROR)
    blocks: list[Block] = [Note(str(error))] if error else []
    blocks.append(chart(found, colours(findings)))
    blocks += [
        table(group, [r for r in found if str(r.get("group") or "open") == group], findings) for group in groups(found)
    ]
    blocks += [Note(text, "warn") for text in warnings(found)]
    return Section("rates", "Misaligned answers", LEAD, blocks, _facts(findings, found))


def table(group: str, found: Sequence[Row], findings: Findings) -> Table:
    """The rates of one group, a row for each arm, format and system prompt."""
    palette = colours(findings)
    return Table(COLUMNS, tuple(_row(r, palette) for r in found), group_name(group), stack=True)


def warnings(found: Sequence[Row]) -> list[str]:
    """The warnings of all rows, each naming its row."""
    return [
        f"{r.get('arm')}, {group_name(str(r.get('group') or 'open')).lower()}, {r.get('format') or 'plain'}: {text}"
        for r in found
        for text in r.get("warnings") or []
    ]


def chart(found: Sequence[Row], palette: dict[str, str]) -> Chart:
    """Rates of all answers with intervals: a place for each group, format and system prompt, a point for each arm."""
    places = list(dict.fromkeys(_place(r) for r in _ordered(found)))
    names = list(dict.fromkeys(str(r.get("arm")) for r in found))
    traces: list[Any] = []
    for i, arm in enumerate(names):
        mine = {_place(r): r for r in found if str(r.get("arm")) == arm}
        rates = [mine[p].get("all") if p in mine else None for p in places]
        at = [j + _shift(i, len(names)) for j in range(len(places))]
        hover = [
            f"<b>{charts.plain_text(arm)}</b> {charts.plain_text(p)}<br>{rate_text(r)}"
            for p, r in zip(places, rates, strict=True)
        ]
        traces.append(charts.points(arm, rates, at, palette[arm], hover, SYMBOLS[i % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    cells = tuple((Cell(str(r.get("arm"))), Cell(_place(r)), rate_cell(r.get("all"))) for r in found)
    height = 130 + len(places) * max(44, 16 * len(names))
    return Chart(
        "rates",
        "Misaligned answers by arm and group",
        traces,
        layout,
        Table(("Arm", "Group", "Of all"), cells),
        height,
        labels=tuple(places),
        wide=True,
    )


def _ordered(found: Sequence[Row]) -> list[Row]:
    order = groups(found)
    return sorted(found, key=lambda r: order.index(str(r.get("group") or "open")))


def _place(row: Row) -> str:
    parts = [group_name(str(row.get("group") or "open"))]
    if row.get("format") not in (None, "plain"):
        parts.append(str(row["format"]))
    if row.get("system") is not None:
        parts.append(f"system: {system_text(row['system'])}")
    return ", ".join(parts)


def _shift(index: int, count: int) -> float:
    return 0.0 if count < 2 else (index / (count - 1) - 0.5) * min(0.5, 0.16 * count)


def _row(row: Row, palette: dict[str, str]) -> tuple[Cell, ...]:
    arm = str(row.get("arm"))
    return (
        Cell(arm, colour=palette.get(arm, "")),
        Cell(str(row.get("format") or "plain")),
        Cell(system_text(row.get("system"))),
        *(rate_cell(row.get(name)) for name in ("all", "scored", "coherent", "coherent_share")),
        _labels(row),
    )


def _labels(row: Row) -> Cell:
    """What came of the judging, and the probability that the judge gave to the numbers."""
    labels: Row = row.get("labels") or {}
    texts = [f"{number(n)} {_label(name, row)}".replace(" ", NBSP) for name, n in labels.items() if n]
    held: Row = (row.get("mass") or {}).get("alignment") or {}
    if held:
        mass = f"mass on numbers {decimal(held['mean'])} (least {decimal(held['least'])})"
        texts.append(mass.replace(" ", NBSP))
    doubtful = any(labels.get(name) for name in ("unsure", "malformed", "none"))
    return Cell((texts or ["\u2013"])[0], ", ".join(texts[1:]), "warn" if doubtful else "")


def _label(name: str, row: Row) -> str:
    """A label in words; why, where the judge was unsure."""
    why = ", ".join(f"{reason} {number(n)}" for reason, n in (row.get("unsure") or {}).items())
    return "no number" if name == "none" else f"unsure ({why})" if name == "unsure" and why else name


def _facts(findings: Findings, found: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    rates = [r["all"] for r in found if r.get("all")]
    methods = list(dict.fromkeys(str(r["method"]) for r in rates if r.get("method")))
    questions = list(dict.fromkeys(number(r["n_questions"]) for r in rates if r.get("n_questions") is not None))
    own = (("misaligned", rules(findings).text), ("intervals", "95 %, " + "; ".join(methods)))
    clusters = (("questions in a rate", ", ".join(questions)),) if questions else ()
    return own + clusters + facts(findings, "judge", "samples per question", "max new tokens", "temperature", "seed")
