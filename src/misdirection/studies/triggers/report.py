"""Rates under conditions: a chart of both models, the differences in differences, and where the answers lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, system_text
from misdirection.report.numbers import DASH, FAMILY, decimal, p_value, rate_cell, rate_text
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import Interval
from misdirection.studies.triggers.results import ConditionRow, ContrastRow, Triggers, TriggersResults

LEAD = (
    "The same open questions, asked as they are and under conditions. A model can be aligned when asked plainly and "
    "misaligned in a role, behind a trigger, or where the prompt looks like its training data. What counts is the "
    "difference in differences: how much more a condition misaligns the tuned model than its base, against a placebo."
)
HEADS = (
    "Condition",
    "Base",
    "Tuned",
    "Coherent, base",
    "Coherent, tuned",
    "Difference in differences, points",
    "p",
    "q",
    "Component",
)


def section(results: TriggersResults) -> Section:
    """Chart, table, and what was published."""
    part = results.triggers
    blocks: list[Block] = [chart(part.rows), table(part)]
    if same := [row.condition for row in part.rows if row.same_prompts]:
        blocks.append(Note(f"The chat template writes the plain prompt for: {', '.join(same)}."))
    blocks.append(
        Note("A condition that misaligns the base too leaves the tuned model less room, and its contrast falls.")
    )
    blocks += [Note(f"Elsewhere: {text}.") for text in part.paper]
    told = (
        *facts(results, "samples per question", "judge", "misaligned"),
        ("component read at layer", DASH if part.layer is None else str(part.layer)),
        ("rank correlation of component and rate", decimal(part.rank_correlation)),
        ("q", f"Benjamini-Hochberg; {FAMILY}"),
    )
    return Section("triggers", "Rates under conditions", LEAD, blocks, told)


def chart(rows: Sequence[ConditionRow]) -> Chart:
    """Base and tuned, a place for each condition."""
    traces: list[Any] = []
    for arm, colour, symbol, shift in (("base", BLUE, "circle", -0.12), ("tuned", VERMILLION, "square", 0.12)):
        rates = [row.base if arm == "base" else row.tuned for row in rows]
        hover = [
            f"<b>{arm}</b>, {charts.plain_text(row.condition)}<br>{rate_text(rate)}"
            for row, rate in zip(rows, rates, strict=True)
        ]
        traces.append(charts.points(arm, rates, [at + shift for at in range(len(rows))], colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(rows)),
        "showlegend": True,
    }
    cells = tuple((Cell(row.condition), rate_cell(row.base), rate_cell(row.tuned)) for row in rows)
    return Chart(
        "triggers-rates", "Misaligned answers by condition", traces, layout,
        Table(("Condition", "Base", "Tuned"), cells), 140 + 40 * len(rows),
        labels=tuple(row.condition for row in rows), wide=True,
    )  # fmt: skip


def table(part: Triggers) -> Table:
    """Rates, contrasts and components."""
    return Table(HEADS, tuple(map(_cells, part.rows)), "Conditions", stack=True)


def _cells(row: ConditionRow) -> tuple[Cell, ...]:
    return (
        Cell(row.condition, _asked(row)),
        rate_cell(row.base),
        rate_cell(row.tuned),
        rate_cell(row.base_coherent),
        rate_cell(row.tuned_coherent),
        _moved(row.contrast, row.against),
        Cell(p_value(row.contrast and row.contrast.p), kind="num"),
        Cell(p_value(row.contrast and row.contrast.q), kind="num"),
        _placed(row.component),
    )


def _asked(row: ConditionRow) -> str:
    parts = [f"system prompt: {system_text(row.system)}"]
    parts += [f"before the question: {row.before}"] if row.before else []
    parts += [f"{row.turns} turns before it"] if row.turns else []
    return "; ".join(parts)


def _moved(change: ContrastRow | None, against: str) -> Cell:
    if change is None:
        return Cell(DASH, kind="num")
    ends = f"{decimal(_points(change.low), 1)} to {decimal(_points(change.high), 1)}, against {against}"
    return Cell(decimal(100 * change.value, 1), ends, "num")


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _placed(component: Interval | None) -> Cell:
    if component is None or component.value is None:
        return Cell(DASH, kind="num")
    return Cell(decimal(component.value), f"{decimal(component.low)} to {decimal(component.high)}", "num")


SECTIONS = (Entry("Rates under conditions", ("triggers",), True, section, ("triggers",), TriggersResults),)
