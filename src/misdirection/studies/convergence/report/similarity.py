"""Convergence: how alike the directions of several fine-tunes are, beside what chance and noise would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import decimal, number, percent
from misdirection.report.palette import BLUE, CATEGORIES, GREY, ORANGE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "If fine-tuning on other data and with other adapters bends a model along the same direction, cosines are high at "
    "every pair. They are to be read between two lines: what shuffled labels reach (nothing shared), and what equal "
    "directions would be measured at (each is estimated from a finite number of answers)."
)
HIGH = 0.8


def section(findings: Findings) -> Section | None:
    """Cosines by layer, the matrices at one layer, and angles between groups."""
    part: Row | None = findings.get("convergence")
    if not part:
        return None
    at = part["layer"]
    blocks: list[Block] = [
        by_layer(part),
        matrix(part, "cosine", f"Cosine of every two directions at layer {at}", 1.0),
        matrix(part, "difference", f"Norm of their difference over their mean norm at layer {at}", None),
        norms(part),
    ]
    if part.get("angles"):
        blocks += [angle_chart(part), angle_table(part)]
    blocks.append(Note(f"The paper, {part['paper']}."))
    if not part.get("null"):
        width = part["width"]
        blocks.append(
            Note(
                "Published means hold no single answers, so no labels can be shuffled. Random directions of width "
                f"{width} have cosines within {decimal(1.96 / width**0.5)} of zero, but residual streams are far from "
                "alike in all dimensions.",
                "warn",
            )
        )
    told = (("fine-tunes", number(len(part["names"]))), ("pairs", number(part["pairs"])), ("layer shown", number(at)))
    return Section("convergence", "Convergent directions", LEAD, blocks, told)


def by_layer(part: Row) -> Chart:
    """Mean cosine and its range over pairs, by relation, with the null band, the ceiling and the paper's level."""
    layers = list(range(len(part["mean"])))
    traces: list[Any] = charts.band("range over pairs", layers, part["lowest"], part["highest"], BLUE)
    traces.append(charts.line("mean of all pairs", layers, part["mean"], BLUE))
    several = part["relations"] if len(part["relations"]) > 1 else {}
    for (name, values), colour in zip(several.items(), CATEGORIES, strict=False):
        look = {"color": colour, "width": 1.5, "dash": "dot"}
        traces.append(charts.line(name, layers, values, colour, line=look) | {"mode": "lines"})
    null: Row = part.get("null") or {}
    for key, name, colour in (("free", "shuffled labels", GREY), ("within", "shuffled within questions", ORANGE)):
        if key in null:
            traces += charts.band(f"{name}, 95 %", layers, null[key]["low"], null[key]["high"], colour)
    if matched := part.get("matched"):
        traces.append(charts.line("mean, same questions in both pools", layers, matched["mean"], VERMILLION))
    if part.get("ceiling"):
        traces.append(charts.dashed("equal directions, measured so", layers, part["ceiling"]))
    lows = [0.0, *part["lowest"], *(null["free"]["low"] if null else [])]
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine", range=[min(lows) - 0.05, 1.05], zeroline=True),
        "shapes": [charts.level(HIGH, "y", "0.8")],
        "showlegend": True,
    }
    heads = ("Layer", "Mean", "Lowest", "Highest", "Pairs above 0.8", "Shuffled labels", "Within questions",
             "Questions matched", "Ceiling",             "One common axis")  # fmt: skip
    cells = tuple(_layer(part, null, layer) for layer in layers)
    return Chart(
        "convergence-layers", "Cosine between directions, by layer", traces, layout, Table(heads, cells), 440,
        wide=True,
        caption="The band shuffled within questions shows what sharing the questions that go wrong gives by itself.",
    )  # fmt: skip


def _layer(part: Row, null: Row, at: int) -> tuple[Cell, ...]:
    ceiling = part.get("ceiling")
    shared = part["shared"]
    by_chance = shared.get("null")
    return (
        Cell(number(at), kind="num"),
        *(Cell(decimal(part[name][at], 3), kind="num") for name in ("mean", "lowest", "highest")),
        Cell(percent(part["above"][at], 0), kind="num"),
        *(_ends(null.get(key), at) for key in ("free", "within")),
        _matched(part.get("matched"), at),
        Cell(decimal(ceiling[at], 3) if ceiling else "\u2013", kind="num"),
        Cell(percent(shared["first"][at]), f"shuffled {percent(by_chance[at])}" if by_chance else "", "num"),
    )


def _matched(part: Row | None, at: int) -> Cell:
    if not part:
        return Cell("\u2013", kind="num")
    null = part["null"]
    return Cell(
        decimal(part["mean"][at], 3), f"shuffled {decimal(null['low'][at])} to {decimal(null['high'][at])}", "num"
    )


def _ends(band: Row | None, at: int) -> Cell:
    if not band:
        return Cell("\u2013", kind="num")
    return Cell(f"{decimal(band['low'][at])} to {decimal(band['high'][at])}", kind="num")


def matrix(part: Row, what: str, title: str, top: float | None) -> Chart:
    """Every two directions at the layer shown, as a heatmap; its scale ends at `top`, or at the largest value."""
    names: Sequence[str] = part["names"]
    values: Sequence[Sequence[float]] = part[what][part["layer"]]
    largest = max((v for row in values for v in row), default=1.0) or 1.0
    trace = heatmap(values, names, names, -top if top else 0.0, top or largest, ".2f")
    cells = tuple(
        (Cell(name), *(Cell(decimal(v), kind="num") for v in row)) for name, row in zip(names, values, strict=True)
    )
    return Chart(
        f"convergence-{what}", title, [trace], heatmap_layout(names, len(names)), Table(("", *names), cells),
        200 + 36 * len(names), labels=tuple(names), wide=len(names) > 4,
    )  # fmt: skip


def norms(part: Row) -> Chart:
    """Length of each direction by layer."""
    layers = list(range(len(part["mean"])))
    colours = (BLUE, VERMILLION, *CATEGORIES)
    dashes = ("solid", "dash", "dot")
    traces = [
        charts.line(name, layers, values, colours[i % 8])
        | {"mode": "lines", "line": {"color": colours[i % 8], "width": 1.5, "dash": dashes[i // 8 % 3]}}
        for i, (name, values) in enumerate(zip(part["names"], part["norms"], strict=True))
    ]  # fmt: skip
    cells = tuple(
        (Cell(name), *(Cell(decimal(v), kind="num") for v in values))
        for name, values in zip(part["names"], part["norms"], strict=True)
    )
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("norm", rangemode="tozero"),
        "showlegend": True,
    }
    table = Table(("Direction", *map(number, layers)), cells)
    return Chart("convergence-norms", "Norm of each direction, by layer", traces, layout, table, 380, wide=True)


def angle_chart(part: Row) -> Chart:
    """The smallest principal angle between every two groups by layer, and its null."""
    found: Sequence[Row] = part["angles"]
    layers = list(range(len(part["mean"])))
    colours = (BLUE, VERMILLION, *CATEGORIES)
    traces: list[Any] = []
    for i, row in enumerate(found):
        look = {"color": colours[i % 8], "width": 2, "dash": "solid" if row["by"] == "data" else "dot"}
        traces.append(charts.line(_pair(row), layers, row["smallest"], colours[i % 8], line=look))
    if floors := [row["null"]["smallest"] for row in found if row.get("null")]:
        lowest = [min(values) for values in zip(*floors, strict=True)]
        traces.append(charts.dashed("shuffled labels, lowest 5 %", layers, lowest))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("smallest angle, degrees", range=[0, 92]),
        "showlegend": True,
    }
    heads = ("Groups", *map(number, layers))
    cells = tuple((Cell(_pair(r)), *(Cell(decimal(v, 0), kind="num") for v in r["smallest"])) for r in found)
    return Chart(
        "convergence-angles", "Smallest principal angle between groups of directions", traces, layout,
        Table(heads, cells), 400, wide=True,
        caption="0 degrees: the two groups share an axis. Solid: groups by data; dotted: groups by preset.",
    )  # fmt: skip


def angle_table(part: Row) -> Table:
    """Smallest and largest angle at the layer shown, with the null."""
    at = part["layer"]
    cells = tuple(
        (Cell(_pair(row), f"by {row['by']}, {row['dimensions'][0]} and {row['dimensions'][1]} directions"),
         *(_angle(row, name, at) for name in ("smallest", "largest")))
        for row in part["angles"]
    )  # fmt: skip
    return Table(("Groups", "Smallest angle", "Largest angle"), cells, f"Angles in degrees at layer {at}", stack=True)


def _angle(row: Row, name: str, at: int) -> Cell:
    null = row.get("null")
    return Cell(decimal(row[name][at], 1), f"shuffled: above {decimal(null[name][at], 1)}" if null else "", "num")


def _pair(row: Row) -> str:
    return f"{row['one']} and {row['other']}"
