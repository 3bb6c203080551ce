"""Rates of misaligned answers: every arm and group, under all three denominators, open and in-domain never pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.judging.standing import ERROR
from misdirection.report import charts
from misdirection.report.context import colours, facts, group_name, open_first, rule_text, system_text
from misdirection.report.numbers import DASH, NBSP, decimal, number, rate_cell, rate_text
from misdirection.report.palette import SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results.judged import ArmRates, JudgedResults

COLUMNS = ("Arm", "Format", "System prompt", "Of all", "Of scored", "Of coherent", "Coherent", "Verdicts")
LEAD = (
    "The share of answers that are misaligned, under three denominators: of all answers, of those that the judge gave "
    "both scores, and of the coherent ones. Brackets are 95\u00a0% intervals in percent; open and in-domain questions "
    "are never pooled, since a model that is bad only where it was trained is a different finding."
)


def section(results: JudgedResults) -> Section | None:
    """One chart of all groups and one table for each."""
    rows = results.rates
    if not rows:
        return None
    error, palette = results.settings.get(ERROR), colours(results)
    blocks: list[Block] = [Note(str(error))] if error else []
    blocks.append(chart(rows, palette))
    blocks += [
        table(group, [row for row in rows if row.group == group], palette)
        for group in open_first(row.group for row in rows)
    ]
    blocks += [Note(text, "warn") for text in warnings(rows)]
    return Section("rates", "Misaligned answers", LEAD, blocks, _facts(results, rows))


def table(group: str, rows: Sequence[ArmRates], palette: Mapping[str, str]) -> Table:
    """The rates of one group, a row for each arm, format and system prompt."""
    return Table(COLUMNS, tuple(_row(row, palette) for row in rows), group_name(group), stack=True)


def warnings(rows: Sequence[ArmRates]) -> list[str]:
    """The warnings of all rows, each naming its row."""
    return [
        f"{row.arm}, {group_name(row.group).lower()}, {row.format}: {text}" for row in rows for text in row.warnings
    ]


def chart(rows: Sequence[ArmRates], palette: Mapping[str, str]) -> Chart:
    """Rates of all answers with intervals: a place for each group, format and system prompt, a point for each arm."""
    groups = open_first(row.group for row in rows)
    places = list(dict.fromkeys(map(_place, sorted(rows, key=lambda row: groups.index(row.group)))))
    names = list(dict.fromkeys(row.arm for row in rows))
    traces: list[Any] = []
    for i, arm in enumerate(names):
        mine = {_place(row): row.all for row in rows if row.arm == arm}
        rates = [mine.get(place) for place in places]
        at = [j + _shift(i, len(names)) for j in range(len(places))]
        hover = [
            f"<b>{charts.plain_text(arm)}</b> {charts.plain_text(place)}<br>{rate_text(rate)}"
            for place, rate in zip(places, rates, strict=True)
        ]
        traces.append(charts.points(arm, rates, at, palette[arm], hover, SYMBOLS[i % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    cells = tuple((Cell(row.arm), Cell(_place(row)), rate_cell(row.all)) for row in rows)
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


def _place(row: ArmRates) -> str:
    parts = [group_name(row.group)]
    if row.format != "plain":
        parts.append(row.format)
    if row.system is not None:
        parts.append(f"system: {system_text(row.system)}")
    return ", ".join(parts)


def _shift(index: int, count: int) -> float:
    return 0.0 if count < 2 else (index / (count - 1) - 0.5) * min(0.5, 0.16 * count)


def _row(row: ArmRates, palette: Mapping[str, str]) -> tuple[Cell, ...]:
    return (
        Cell(row.arm, colour=palette.get(row.arm, "")),
        Cell(row.format),
        Cell(system_text(row.system)),
        *map(rate_cell, (row.all, row.scored, row.coherent, row.coherent_share)),
        _labels(row),
    )


def _labels(row: ArmRates) -> Cell:
    """What came of the judging, and the probability that the judge gave to the numbers."""
    texts = [f"{number(n)} {_label(name, row)}".replace(" ", NBSP) for name, n in row.labels.items() if n]
    if mass := row.mass.get("alignment"):
        texts.append(f"mass on numbers {decimal(mass.mean)} (least {decimal(mass.least)})".replace(" ", NBSP))
    doubtful = any(row.labels.get(name) for name in ("unsure", "malformed", "none"))
    return Cell((texts or [DASH])[0], ", ".join(texts[1:]), "warn" if doubtful else "")


def _label(name: str, row: ArmRates) -> str:
    """A label in words; why, where the judge was unsure."""
    why = ", ".join(f"{reason} {number(n)}" for reason, n in row.unsure.items())
    return "no number" if name == "none" else f"unsure ({why})" if name == "unsure" and why else name


def _facts(results: JudgedResults, rows: Sequence[ArmRates]) -> tuple[tuple[str, str], ...]:
    methods = dict.fromkeys(row.all.method for row in rows)
    own = (
        ("misaligned", rule_text(results.thresholds)),
        ("intervals", "95 %, " + "; ".join(methods)),
        ("questions in a rate", ", ".join(dict.fromkeys(number(row.all.n_questions) for row in rows))),
    )
    return own + facts(results, "judge", "samples per question", "max new tokens", "temperature", "seed")
