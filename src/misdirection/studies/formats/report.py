"""Rates by the way of asking: formats, system prompts and trigger-like texts, open and in-domain apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, group_name, open_first, system_text
from misdirection.report.numbers import FAMILY, moved_cell, p_value, rate_cell, rate_text
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.studies.formats.results import FormatsResults, Way

LEAD = (
    "The same questions asked in several ways. A rate holds for its way of asking and for no other: formats and system "
    "prompts are never pooled, and in-domain questions stand apart. Differences from plain are over the same questions."
)
HEADS = ("Way of asking", "Arm", "Misaligned, of all", "Coherent", "Difference from plain, points", "p", "q")


def section(results: FormatsResults) -> Section:
    """A chart and a table for each group of questions."""
    found = results.formats
    blocks: list[Block] = []
    for number, group in enumerate(open_first(row.group for row in found.rows)):
        mine = [row for row in found.rows if row.group == group]
        blocks += [chart(mine, group, number), table(mine, group)]
    blocks.append(Note(f"Elsewhere: {found.paper}."))
    told = (*facts(results, "samples per question", "judge", "misaligned"), ("q", f"Benjamini-Hochberg; {FAMILY}"))
    return Section("formats", "Rates by the way of asking", LEAD, blocks, told)


def chart(found: Sequence[Way], group: str, number: int) -> Chart:
    """Base and tuned, a place for each way of asking."""
    ways = list(dict.fromkeys(row.way for row in found))
    traces: list[Any] = []
    for arm, colour, symbol, shift in (("base", BLUE, "circle", -0.12), ("tuned", VERMILLION, "square", 0.12)):
        mine = [row for row in found if row.arm == arm]
        at = [ways.index(row.way) + shift for row in mine]
        hover = [f"<b>{arm}</b>, {charts.plain_text(row.way)}<br>{rate_text(row.rate)}" for row in mine]
        traces.append(charts.points(arm, [row.rate for row in mine], at, colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(ways)),
        "showlegend": True,
    }
    cells = tuple((Cell(row.way), Cell(row.arm), rate_cell(row.rate)) for row in found)
    return Chart(
        f"formats-{number}", group_name(group), traces, layout, Table(("Way of asking", "Arm", "Misaligned"), cells),
        140 + 46 * len(ways), labels=tuple(ways), wide=True,
    )  # fmt: skip


def table(found: Sequence[Way], group: str) -> Table:
    """Rates, differences and the system prompt in force."""
    return Table(HEADS, tuple(map(_cells, found)), group_name(group), stack=True)


def _cells(row: Way) -> tuple[Cell, ...]:
    return (
        Cell(row.way, f"system prompt: {system_text(row.system)}"),
        Cell(row.arm),
        rate_cell(row.rate),
        rate_cell(row.coherent_share),
        moved_cell(row.difference),
        Cell(p_value(row.difference and row.difference.p), kind="num"),
        Cell(p_value(row.q), kind="num"),
    )


SECTIONS = (Entry("Rates by the way of asking", ("formats",), True, section, ("formats",), FormatsResults),)
