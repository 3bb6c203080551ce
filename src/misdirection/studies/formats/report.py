"""Rates by the way of asking: formats, system prompts and trigger-like texts, open and in-domain apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, group_name, groups, system_text
from misdirection.report.numbers import FAMILY, decimal, p_value, rate_cell, rate_text
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Findings, Note, Section, Table

LEAD = (
    "The same questions asked in several ways. A rate holds for its way of asking and for no other: formats and system "
    "prompts are never pooled, and in-domain questions stand apart. Differences from plain are over the same questions."
)
HEADS = ("Way of asking", "Arm", "Misaligned, of all", "Coherent", "Difference from plain, points", "p", "q")


def section(findings: Findings) -> Section | None:
    """A chart and a table for each group of questions."""
    part: Row | None = findings.get("formats")
    if not part:
        return None
    found: Sequence[Row] = part["rows"]
    blocks: list[Block] = []
    for number, group in enumerate(groups(found)):
        mine = [row for row in found if row["group"] == group]
        blocks += [chart(mine, group, number), table(mine, group)]
    blocks.append(Note(f"Elsewhere: {part['paper']}."))
    told = (*facts(findings, "samples per question", "judge", "misaligned"), ("q", f"Benjamini-Hochberg; {FAMILY}"))
    return Section("formats", "Rates by the way of asking", LEAD, blocks, told)


def chart(found: Sequence[Row], group: str, number: int) -> Chart:
    """Base and tuned, a place for each way of asking."""
    ways = list(dict.fromkeys(str(row["way"]) for row in found))
    traces: list[Any] = []
    for arm, colour, symbol, shift in (("base", BLUE, "circle", -0.12), ("tuned", VERMILLION, "square", 0.12)):
        mine = [row for row in found if row["arm"] == arm]
        at = [ways.index(str(row["way"])) + shift for row in mine]
        hover = [f"<b>{arm}</b>, {charts.plain_text(row['way'])}<br>{rate_text(row['rate'])}" for row in mine]
        traces.append(charts.points(arm, [row["rate"] for row in mine], at, colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(ways)),
        "showlegend": True,
    }
    cells = tuple((Cell(str(row["way"])), Cell(str(row["arm"])), rate_cell(row["rate"])) for row in found)
    return Chart(
        f"formats-{number}", group_name(group), traces, layout, Table(("Way of asking", "Arm", "Misaligned"), cells),
        140 + 46 * len(ways), labels=tuple(ways), wide=True,
    )  # fmt: skip


def table(found: Sequence[Row], group: str) -> Table:
    """Rates, differences and the system prompt in force."""
    return Table(HEADS, tuple(map(_cells, found)), group_name(group), stack=True)


def _cells(row: Row) -> tuple[Cell, ...]:
    change: Row = row.get("difference") or {}
    moved = "\u2013" if not change else decimal(100 * change["value"], 1)
    ends = "" if not change else f"{decimal(100 * change['low'], 1)} to {decimal(100 * change['high'], 1)}"
    return (
        Cell(str(row["way"]), f"system prompt: {system_text(row.get('system'))}"),
        Cell(str(row["arm"])),
        rate_cell(row.get("rate")),
        rate_cell(row.get("coherent_share")),
        Cell(moved, ends, "num"),
        Cell(p_value(change.get("p")), kind="num"),
        Cell(p_value(row.get("q")), kind="num"),
    )


SECTIONS = (Entry("Rates by the way of asking", ("formats",), True, section, ("formats",)),)
