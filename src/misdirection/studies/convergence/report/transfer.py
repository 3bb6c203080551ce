"""Transfer: the direction of one fine-tune removed from another, for every pair, beside the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import (
    FAMILY,
    bounds,
    decimal,
    known,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
    rate_value,
)
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table

LEAD = (
    "The rate on open questions of each fine-tune (columns of the matrices) after the direction of another (rows) was "
    "removed from every layer; on the diagonal its own. Projecting out is the paper's operation and puts the component "
    "along the direction at zero; setting puts it at the mean of the source's aligned answers. Each arm shares its "
    "random numbers with the untouched fine-tune."
)
DOES = {"project": "projected out", "set": "set to the aligned mean", "none": "no-op", "steer": "no-op"}
HOW = {
    "single": "one layer's at every layer", "layer-wise": "each layer's own", "one layer": "at one layer alone",
    "random": "random direction, same norm", "no-op": "hooks in place, nothing done",
}  # fmt: skip


def section(findings: Findings) -> Section | None:
    """Pooled changes, a matrix for each operation, and every comparison."""
    part: Row | None = findings.get("transfer")
    if not part or not part.get("rows"):
        return None
    pooled: Sequence[Row] = part["pooled"]
    blocks: list[Block] = [chart(pooled), table(pooled, part.get("paper") or {})]
    for operation in part["layers"]:
        blocks.append(matrix(part["rows"], operation, part["layers"][operation]))
    blocks.append(everything(part["rows"]))
    told = tuple((f"layer, {DOES[o]}", number(at)) for o, at in part["layers"].items())
    told += (("q", f"Benjamini-Hochberg over {len(part['rows'])} comparisons, controls included; {FAMILY}"),)
    told += (("intervals", "over questions; the pooled ones too, so they hold for these fine-tunes"),)
    return Section("transfer", "Removing one from another", LEAD, blocks, told + facts(findings, "misaligned", "judge"))


def name_of(row: Row) -> str:
    """A pooled row in words."""
    if row["how"] == "no-op":
        return "no-op"
    whose = {"own": "own direction", "all others": "another's direction"}.get(row["relation"], row["relation"])
    if row["how"] == "random":
        return f"{DOES[row['operation']]}: random direction"
    return f"{DOES[row['operation']]}: {whose}, {HOW[row['how']]}"


def chart(pooled: Sequence[Row]) -> Chart:
    """Before and after of every pooled group."""
    traces: list[Any] = []
    control = [row["how"] in ("random", "no-op") for row in pooled]
    sides = (("before", "before", VERMILLION, "circle", None), ("after", "rate", BLUE, "square", False),
             ("after, control", "rate", GREY, "diamond", True))  # fmt: skip
    for name, key, colour, symbol, only in sides:
        at = [i for i, c in enumerate(control) if only is None or c == only]
        held = [pooled[i][key] for i in at]
        hover = [
            f"<b>{charts.plain_text(name_of(pooled[i]))}</b>, {name}<br>{rate_text(r)}"
            for i, r in zip(at, held, strict=True)
        ]
        shift = -0.12 if key == "before" else 0.12
        traces.append(charts.points(name, held, [i + shift for i in at], colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(pooled)) | {"showgrid": True},
        "showlegend": True,
    }
    cells = tuple((Cell(name_of(r)), rate_cell(r["before"]), rate_cell(r["rate"])) for r in pooled)
    return Chart(
        "transfer-pooled", "Misaligned answers before and after, pooled over fine-tunes", traces, layout,
        Table(("Removal", "Before", "After"), cells), 140 + 46 * len(pooled),
        labels=tuple(map(name_of, pooled)), wide=True,
    )  # fmt: skip


def table(pooled: Sequence[Row], paper: Mapping[str, str]) -> Table:
    """The pooled changes with their intervals, the range over pairs, and the paper's figure."""
    heads = ("Removal", "Before", "After", "Coherent", "Change, points", "Reduction", "Change over pairs", "Paper")
    return Table(heads, tuple(_pooled(row, paper) for row in pooled), "Pooled over fine-tunes", stack=True)


def _pooled(row: Row, paper: Mapping[str, str]) -> tuple[Cell, ...]:
    reduction: Row = row.get("reduction") or {}
    key = f"{row['operation']} {row['how']} {row['relation']}"
    ends = f"{decimal(100 * row['most'], 1)} to {decimal(100 * row['least'], 1)}"
    return (
        Cell(name_of(row), f"{row['pairs']} arms"),
        rate_cell(row["before"]),
        rate_cell(row["rate"]),
        rate_cell(row["coherent_share"]),
        _points(row["difference"]),
        Cell(percent(reduction.get("value"), 0), bounds(reduction), "num"),
        Cell(ends, kind="num"),
        Cell(paper.get(key, "\u2013")),
    )


def matrix(found: Sequence[Row], operation: str, layer: Any) -> Chart:
    """The rate after removal: sources down, targets across; the first row is the rate before."""
    held = [row for row in found if row["how"] == "single" and row["operation"] == operation]
    sources = list(dict.fromkeys(str(row["source"]) for row in held))
    targets = list(dict.fromkeys(str(row["target"]) for row in held))
    rates = {(row["source"], row["target"]): row for row in held}
    before = {row["target"]: row["before"]["value"] for row in held}
    values = [[before[t] for t in targets], *([_after(rates.get((s, t))) for t in targets] for s in sources)]
    names = ["before", *(f"direction of {source}" for source in sources)]
    top = max((v for row in values for v in row if known(v)), default=1.0) or 1.0
    trace = heatmap(values, names, targets, 0.0, top, ".0%")
    cells = tuple(
        (Cell(name), *(Cell(percent(v), kind="num") for v in row)) for name, row in zip(names, values, strict=True)
    )
    return Chart(
        f"transfer-{operation}", f"Misaligned answers after removal, {DOES[operation]} (layer {layer})", [trace],
        heatmap_layout(targets, len(names)), Table(("", *targets), cells), 200 + 36 * len(names),
        "Columns: the fine-tune that answers. Rows: whose direction was removed.", tuple(names), wide=True,
    )  # fmt: skip


def _after(row: Row | None) -> float | None:
    return None if row is None else row["rate"]["value"]


def everything(found: Sequence[Row]) -> Table:
    """Every comparison with its interval."""
    heads = ("Fine-tune", "Removed", "Before", "After", "Coherent", "Change, points", "p", "q")
    return Table(heads, tuple(map(_cells, found)), "Every comparison")


def _cells(row: Row) -> tuple[Cell, ...]:
    return (
        Cell(str(row["target"])),
        Cell(str(row["label"]), "control" if row["control"] else str(row["relation"])),
        Cell(rate_value(row["before"]), kind="num"),
        rate_cell(row["rate"]),
        Cell(rate_value(row["coherent_share"]), kind="num"),
        _points(row["difference"]),
        Cell(p_value(row["difference"]["p"]), kind="num"),
        Cell(p_value(row["q"]), kind="num"),
    )


def _points(difference: Row) -> Cell:
    value = difference["value"]
    return Cell(("+" if value > 0 else "") + decimal(100 * value, 1), bounds(difference), "num")
