"""Transfer: the direction of one fine-tune removed from another, for every pair, beside the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.heatmap import matrix_chart
from misdirection.report.numbers import (
    DASH,
    FAMILY,
    bounds,
    decimal,
    known,
    number,
    p_value,
    percent,
    points_cell,
    rate_cell,
    rate_text,
)
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.convergence.results import (
    ConvergenceResults,
    How,
    Operation,
    PooledRemoval,
    RemovalRow,
)
from misdirection.studies.convergence.verdict import DOES

LEAD = (
    "The rate on open questions of each fine-tune (columns of the matrices) after the direction of another (rows) was "
    "removed from every layer; on the diagonal its own. Projecting out is the paper's operation and puts the component "
    "along the direction at zero; setting puts it at the mean of the source's aligned answers. Each arm shares its "
    "random numbers with the untouched fine-tune."
)
HOW: Mapping[How, str] = {
    "single": "one layer's at every layer", "layer-wise": "each layer's own", "one layer": "at one layer alone",
    "random": "random direction, same norm", "no-op": "hooks in place, nothing done",
}  # fmt: skip


def section(results: ConvergenceResults) -> Section | None:
    """Pooled changes, a matrix for each operation, and every comparison."""
    part = results.transfer
    if part is None:
        return None
    blocks: list[Block] = [chart(part.pooled), table(part.pooled, part.paper)]
    blocks += [matrix(part.rows, operation, layer) for operation, layer in part.layers.items()]
    blocks.append(everything(part.rows))
    shown = tuple((f"layer, {DOES[o]}", number(at)) for o, at in part.layers.items())
    shown += (("q", f"Benjamini-Hochberg over {len(part.rows)} comparisons, controls included; {FAMILY}"),)
    shown += (("intervals", "over questions; the pooled ones too, so they hold for these fine-tunes"),)
    return Section("transfer", "Removing one from another", LEAD, blocks, shown + facts(results, "misaligned", "judge"))


def name_of(row: PooledRemoval) -> str:
    """A pooled row in words."""
    if row.how == "no-op":
        return "no-op"
    if row.how == "random":
        return f"{DOES[row.operation]}: random direction"
    whose = {"own": "own direction", "all others": "another's direction"}.get(row.relation, row.relation)
    return f"{DOES[row.operation]}: {whose}, {HOW[row.how]}"


def chart(pooled: Sequence[PooledRemoval]) -> Chart:
    """Before and after of every pooled group."""
    controls = [row.how in ("random", "no-op") for row in pooled]
    before = {i: row.before for i, row in enumerate(pooled)}
    after = {i: row.rate for i, row in enumerate(pooled) if not controls[i]}
    control = {i: row.rate for i, row in enumerate(pooled) if controls[i]}
    sides = (("before", before, -0.12, VERMILLION, "circle"), ("after", after, 0.12, BLUE, "square"),
             ("after, control", control, 0.12, GREY, "diamond"))  # fmt: skip
    traces: list[Any] = []
    for name, rates, shift, colour, symbol in sides:
        hover = [f"<b>{charts.plain_text(name_of(pooled[i]))}</b>, {name}<br>{rate_text(r)}" for i, r in rates.items()]
        traces.append(charts.points(name, list(rates.values()), [i + shift for i in rates], colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(pooled)) | {"showgrid": True},
        "showlegend": True,
    }
    cells = tuple((Cell(name_of(r)), rate_cell(r.before), rate_cell(r.rate)) for r in pooled)
    return Chart(
        "transfer-pooled", "Misaligned answers before and after, pooled over fine-tunes", traces, layout,
        Table(("Removal", "Before", "After"), cells), 140 + 46 * len(pooled),
        labels=tuple(map(name_of, pooled)), wide=True,
    )  # fmt: skip


def table(pooled: Sequence[PooledRemoval], paper: Mapping[str, str]) -> Table:
    """The pooled changes with their intervals, the range over pairs, and the paper's figure."""
    heads = ("Removal", "Before", "After", "Coherent", "Change, points", "Reduction", "Change over pairs", "Paper")
    return Table(heads, tuple(_pooled(row, paper) for row in pooled), "Pooled over fine-tunes", stack=True)


def _pooled(row: PooledRemoval, paper: Mapping[str, str]) -> tuple[Cell, ...]:
    fall = row.reduction
    return (
        Cell(name_of(row), f"{row.pairs} arms"),
        rate_cell(row.before),
        rate_cell(row.rate),
        rate_cell(row.coherent_share),
        points_cell(row.difference),
        Cell(percent(fall.value if fall else None, 0), bounds(fall), "num"),
        Cell(f"{decimal(100 * row.most, 1)} to {decimal(100 * row.least, 1)}", kind="num"),
        Cell(paper.get(f"{row.operation} {row.how} {row.relation}", DASH)),
    )


def matrix(rows: Sequence[RemovalRow], operation: Operation, layer: int) -> Chart:
    """The rate after removal: sources down, targets across; the first row is the rate before."""
    removals = [row for row in rows if row.how == "single" and row.operation == operation]
    sources = list(dict.fromkeys(row.source for row in removals))
    targets = list(dict.fromkeys(row.target for row in removals))
    after = {(row.source, row.target): row.rate.value for row in removals}
    before = {row.target: row.before.value for row in removals}
    values = [[before[t] for t in targets], *([after.get((s, t)) for t in targets] for s in sources)]
    names = ["before", *(f"direction of {source}" for source in sources)]
    top = max((v for row in values for v in row if known(v)), default=1.0) or 1.0
    return matrix_chart(
        f"transfer-{operation}", f"Misaligned answers after removal, {DOES[operation]} (layer {layer})", values, names,
        targets, 200 + 36 * len(names), (0.0, top), ".0%",
        caption="Columns: the fine-tune that answers. Rows: whose direction was removed.",
    )  # fmt: skip


def everything(rows: Sequence[RemovalRow]) -> Table:
    """Every comparison with its interval."""
    heads = ("Fine-tune", "Removed", "Before", "After", "Coherent", "Change, points", "p", "q")
    return Table(heads, tuple(map(_cells, rows)), "Every comparison")


def _cells(row: RemovalRow) -> tuple[Cell, ...]:
    return (
        Cell(row.target),
        Cell(row.label, "control" if row.control else row.relation),
        rate_cell(row.before),
        rate_cell(row.rate),
        rate_cell(row.coherent_share),
        points_cell(row.difference),
        Cell(p_value(row.difference.p), kind="num"),
        Cell(p_value(row.q), kind="num"),
    )
