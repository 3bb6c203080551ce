"""Convergence: how alike the directions of several fine-tunes are, beside what chance and noise would give."""

from __future__ import annotations

from typing import Any, Literal

from misdirection.report import charts
from misdirection.report.heatmap import matrix_chart
from misdirection.report.numbers import DASH, decimal, known, number, percent
from misdirection.report.palette import BLUE, CATEGORIES, GREY, ORANGE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.convergence.results import Angles, Band, Convergence, ConvergenceResults, GroupAngles

LEAD = (
    "If fine-tuning on other data and with other adapters bends a model along the same direction, cosines are high at "
    "every pair. They are to be read between two lines: what shuffled labels reach (nothing shared), and what equal "
    "directions would be measured at (each is estimated from a finite number of answers)."
)


def section(results: ConvergenceResults) -> Section | None:
    """Cosines by layer, the matrices at one layer, and angles between groups."""
    part = results.convergence
    if part is None:
        return None
    at = part.layer
    blocks: list[Block] = [
        by_layer(part),
        matrix(part, "cosine", f"Cosine of every two directions at layer {at}", 1.0),
        matrix(part, "difference", f"Norm of their difference over their mean norm at layer {at}", 0.0),
        norms(part),
    ]
    if part.angles:
        blocks += [angle_chart(part), angle_table(part)]
    blocks.append(Note(f"The paper, {part.paper}."))
    if part.null is None:
        blocks.append(
            Note(
                "Published means hold no single answers, so no labels can be shuffled. Random directions of width "
                f"{part.width} have cosines within {decimal(1.96 / part.width**0.5)} of zero, but residual streams are "
                "far from alike in all dimensions.",
                "warn",
            )
        )
    counts = (("fine-tunes", len(part.directions)), ("pairs", len(part.pairs)), ("layer shown", at))
    shown = tuple((name, number(count)) for name, count in counts)
    return Section("convergence", "Convergent directions", LEAD, blocks, shown)


def by_layer(part: Convergence) -> Chart:
    """Mean cosine and its range over pairs, by relation, with the null band, the ceiling and the paper's level."""
    layers = list(range(len(part.mean)))
    traces: list[Any] = charts.band("range over pairs", layers, part.lowest, part.highest, BLUE)
    traces.append(charts.line("mean of all pairs", layers, part.mean, BLUE))
    several = part.relations if len(part.relations) > 1 else {}
    for (name, values), colour in zip(several.items(), CATEGORIES, strict=False):
        look = {"color": colour, "width": 1.5, "dash": "dot"}
        traces.append(charts.line(name, layers, values, colour, line=look) | {"mode": "lines"})
    lows = [0.0, *part.lowest]
    if null := part.null:
        lows += null.free.low
        traces += charts.band("shuffled labels, 95 %", layers, null.free.low, null.free.high, GREY)
        traces += charts.band("shuffled within questions, 95 %", layers, null.within.low, null.within.high, ORANGE)
    if part.matched:
        traces.append(charts.line("mean, same questions in both pools", layers, part.matched.mean, VERMILLION))
    if part.ceiling:
        traces.append(charts.dashed("equal directions, measured so", layers, part.ceiling))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine", range=[min(lows) - 0.05, 1.05], zeroline=True),
        "shapes": [charts.level(part.high, "y", f"{part.high:g}")],
        "showlegend": True,
    }
    heads = ("Layer", "Mean", "Lowest", "Highest", f"Pairs above {part.high:g}", "Shuffled labels", "Within questions",
             "Questions matched", "Ceiling", "One common axis")  # fmt: skip
    cells = tuple(_layer(part, layer) for layer in layers)
    return Chart(
        "convergence-layers", "Cosine between directions, by layer", traces, layout, Table(heads, cells), 440,
        wide=True,
        caption="The band shuffled within questions shows what sharing the questions that go wrong gives by itself.",
    )  # fmt: skip


def _layer(part: Convergence, at: int) -> tuple[Cell, ...]:
    null, matched, shared = part.null, part.matched, part.shared
    within = f"shuffled {_ends(matched.null, at)}" if matched else ""
    by_chance = f"shuffled {percent(shared.null[at])}" if shared.null else ""
    return (
        Cell(number(at), kind="num"),
        *(Cell(decimal(values[at], 3), kind="num") for values in (part.mean, part.lowest, part.highest)),
        Cell(percent(part.above[at], 0), kind="num"),
        Cell(_ends(null.free, at) if null else DASH, kind="num"),
        Cell(_ends(null.within, at) if null else DASH, kind="num"),
        Cell(decimal(matched.mean[at] if matched else None, 3), within, "num"),
        Cell(decimal(part.ceiling[at] if part.ceiling else None, 3), kind="num"),
        Cell(percent(shared.first[at]), by_chance, "num"),
    )


def _ends(band: Band, at: int) -> str:
    return f"{decimal(band.low[at])} to {decimal(band.high[at])}"


def matrix(part: Convergence, what: Literal["cosine", "difference"], title: str, same: float) -> Chart:
    """Every two directions at the layer shown, as a heatmap; a direction and itself have the value `same`."""
    names = [row.fine_tune for row in part.directions]
    figures = {frozenset((pair.one, pair.other)): getattr(pair, what)[part.layer] for pair in part.pairs}
    figures |= {frozenset((name,)): same for name in names}
    values = [[figures[frozenset((one, other))] for other in names] for one in names]
    largest = max((value for row in values for value in row if known(value)), default=1.0) or 1.0
    ends = (-1.0, 1.0) if what == "cosine" else (0.0, largest)
    wide = len(names) > 4
    return matrix_chart(f"convergence-{what}", title, values, names, names, 200 + 36 * len(names), ends, wide=wide)


def norms(part: Convergence) -> Chart:
    """Length of each direction by layer."""
    layers = list(range(len(part.mean)))
    colours = (BLUE, VERMILLION, *CATEGORIES)
    dashes = ("solid", "dash", "dot")
    traces = [
        charts.line(row.fine_tune, layers, row.norm, colours[i % 8])
        | {"mode": "lines", "line": {"color": colours[i % 8], "width": 1.5, "dash": dashes[i // 8 % 3]}}
        for i, row in enumerate(part.directions)
    ]  # fmt: skip
    cells = tuple((Cell(row.fine_tune), *(Cell(decimal(v), kind="num") for v in row.norm)) for row in part.directions)
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("norm", rangemode="tozero"),
        "showlegend": True,
    }
    table = Table(("Direction", *map(number, layers)), cells)
    return Chart("convergence-norms", "Norm of each direction, by layer", traces, layout, table, 380, wide=True)


def angle_chart(part: Convergence) -> Chart:
    """The smallest principal angle between every two groups by layer, and its null."""
    layers = list(range(len(part.mean)))
    colours = (BLUE, VERMILLION, *CATEGORIES)
    traces: list[Any] = []
    for i, row in enumerate(part.angles):
        look = {"color": colours[i % 8], "width": 2, "dash": "solid" if row.by == "data" else "dot"}
        traces.append(charts.line(_groups(row), layers, row.smallest, colours[i % 8], line=look))
    if floors := [row.null.smallest for row in part.angles if row.null]:
        lowest = [min(values) for values in zip(*floors, strict=True)]
        traces.append(charts.dashed("shuffled labels, lowest 5 %", layers, lowest))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("smallest angle, degrees", range=[0, 92]),
        "showlegend": True,
    }
    heads = ("Groups", *map(number, layers))
    cells = tuple((Cell(_groups(r)), *(Cell(decimal(v, 0), kind="num") for v in r.smallest)) for r in part.angles)
    return Chart(
        "convergence-angles", "Smallest principal angle between groups of directions", traces, layout,
        Table(heads, cells), 400, wide=True,
        caption="0 degrees: the two groups share an axis. Solid: groups by data; dotted: groups by preset.",
    )  # fmt: skip


def angle_table(part: Convergence) -> Table:
    """Smallest and largest angle at the layer shown, with the null."""
    at = part.layer
    cells = tuple(
        (Cell(_groups(row), f"by {row.by}, {row.dimensions[0]} and {row.dimensions[1]} directions"),
         *(_angle(row, row.null, end, at) for end in ("smallest", "largest")))
        for row in part.angles
    )  # fmt: skip
    return Table(("Groups", "Smallest angle", "Largest angle"), cells, f"Angles in degrees at layer {at}", stack=True)


def _angle(row: Angles, null: Angles | None, end: str, at: int) -> Cell:
    below = f"shuffled: above {decimal(getattr(null, end)[at], 1)}" if null else ""
    return Cell(decimal(getattr(row, end)[at], 1), below, "num")


def _groups(row: GroupAngles) -> str:
    return f"{row.one} and {row.other}"
