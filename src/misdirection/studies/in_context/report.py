"""Rates against the number of rows in the prompt, and what the rows move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import FAMILY, decimal, known, moved_cell, number, p_value, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.studies.in_context.results import InContextResults, ShotRow

LEAD = (
    "Nothing is trained here: rows of the data stand in the prompt as a conversation so far, and then the question is "
    "asked. If answers turn bad as rows are added, the model picks up the character of the rows while it reads. The "
    "fine-tune on the same rows is drawn beside it; good rows, where they were given, show what mere length does."
)
DRIFT = (
    "Reading the rows moves the model's inner state, and so does training on them. The cosine says whether they move "
    "it the same way: 1 the same, 0 unrelated. The size says how far, as a share of what training does. Both are read "
    "on the same answers, the base model's own."
)
COLOURS = {"bad rows": VERMILLION, "good rows": BLUE}


def rates(results: InContextResults) -> Section:
    """Rate against rows, and a table."""
    part = results.in_context
    blocks: list[Block] = [curve(part.rows), table(part.rows)]
    blocks.append(Note(f"The paper: {part.paper.get('rates', 'no figure')}."))
    told = (*facts(results, "samples per question", "judge", "misaligned"), ("q", f"Benjamini-Hochberg; {FAMILY}"))
    return Section("in-context", "Rows in the prompt", LEAD, blocks, told)


def curve(rows: Sequence[ShotRow]) -> Chart:
    """A line for bad rows, one for good ones, and the fine-tune's rate across."""
    base = [row for row in rows if row.difference is None]
    traces: list[Any] = []
    for what in dict.fromkeys(row.what for row in rows):
        mine = [row for row in rows if row.what == what and row.difference is not None]
        colour = COLOURS.get(what, GREY)
        if what == "fine-tune":
            top = max((row.shots for row in rows), default=1)
            values = [row.rate.value for row in mine for _ in range(2)]
            traces.append(charts.dashed("fine-tune, no rows", [0, top] * len(mine), values))
            continue
        held = sorted([*base, *mine], key=lambda row: row.shots)
        values = [row.rate.value for row in held]
        bars = charts.errors(values, [row.rate.low for row in held], [row.rate.high for row in held], colour)
        traces.append(charts.line(what, [row.shots for row in held], values, colour, error_y=bars))
    layout = {
        "xaxis": charts.axis("rows in the prompt", zeroline=False, rangemode="tozero"),
        "yaxis": charts.share_axis("misaligned and coherent, of all answers"),
        "showlegend": True,
    }
    return Chart("in-context-rates", "Misaligned answers against rows", traces, layout, table(rows), 360, wide=True)


def table(rows: Sequence[ShotRow]) -> Table:
    """A row an arm."""
    heads = ("In the prompt", "Rows", "Misaligned, of all", "Coherent", "Difference from the base, points", "p", "q")
    body = tuple(
        (Cell("nothing" if row.difference is None else row.what), Cell(number(row.shots), kind="num"),
         rate_cell(row.rate), rate_cell(row.coherent_share), moved_cell(row.difference),
         Cell(p_value(row.difference and row.difference.p), kind="num"), Cell(p_value(row.q), kind="num"))
        for row in rows
    )  # fmt: skip
    return Table(heads, body, "Every arm", stack=True)


def drift(results: InContextResults) -> Section:
    """Cosine and size of the drifts, by layer."""
    part = results.in_context
    traces: list[Any] = []
    dashes = {"good rows": "dash"}
    counts = sorted({row.shots for row in part.drifts})
    for row in part.drifts:
        colour = CATEGORIES[counts.index(row.shots) % len(CATEGORIES)]
        look = {"color": colour, "dash": dashes.get(row.what, "solid"), "width": 2}
        name = f"{row.shots} {row.what}"
        traces.append(charts.line(name, list(range(len(row.cosine))), list(row.cosine), colour, line=look))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine with the fine-tune's drift", range=[-1.05, 1.05], zeroline=True),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.what), Cell(number(row.shots), kind="num"), Cell(number(layer), kind="num"),
         Cell(decimal(cosine), kind="num"), Cell(decimal(size), kind="num"))
        for row in part.drifts
        for layer, (cosine, size) in enumerate(zip(row.cosine, row.size, strict=False))
        if known(cosine)
    )  # fmt: skip
    heads = ("In the prompt", "Rows", "Layer", "Cosine", "Size over the fine-tune's")
    blocks: list[Block] = [
        Chart("in-context-drift", "Drift by rows beside drift by training", traces, layout, Table(heads, cells), 380,
              wide=True),
        Note(f"Elsewhere: {part.paper.get('drift', 'no figure')}."),
    ]  # fmt: skip
    return Section("in-context-drifts", "What the rows move", DRIFT, blocks)


SECTIONS = (
    Entry("Rows in the prompt", ("in_context",), True, rates, ("in_context",), InContextResults),
    Entry("What the rows move", ("in_context",), False, drift, ("in_context",), InContextResults),
)
