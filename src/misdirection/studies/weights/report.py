"""Fine-tunes in the space of weights: cosines of every two, rates along lines, and the difference while training."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import decimal, number, rate_cell, rate_text
from misdirection.report.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.studies.weights.results import RateLine, UpdatePair, Weights, WeightsResults

LEAD = (
    "A fine-tune adds something to the weights of the model. Do fine-tunes on different data add the same? The cosine "
    "says it: 1 the same, 0 unrelated, below 0 opposite; random changes of the same size stand beside it. The overlaps "
    "say whether they read from and write into the same part of the model's state. Then two fine-tunes are mixed, from "
    "all of one (0) to all of the other (1) and beyond, and each mixture is asked the open questions. Last: does a "
    "fine-tune, while it trains, move towards what tells a bad one from a good one?"
)
COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, GREY)


def section(results: WeightsResults) -> Section:
    """Every two updates, a chart a line, and the courses."""
    part = results.weights
    blocks: list[Block] = [pairs(part.pairs), kinds(part)]
    for place, line in enumerate(part.lines):
        blocks.append(along(place, line))
    if part.watched:
        blocks.append(courses(part))
    blocks += [Note(f"Elsewhere: {text}.") for text in part.paper]
    told = (
        *facts(results, "samples per question", "judge", "misaligned"),
        ("norms of the updates", ", ".join(f"{name} {decimal(norm)}" for name, norm in part.norms.items())),
    )
    return Section("weights", "Fine-tunes in the space of weights", LEAD, blocks, told)


def pairs(rows: tuple[UpdatePair, ...]) -> Table:
    """Every two updates, all modules together."""
    body = tuple(
        (
            Cell(f"{one.one}, {one.other}", f"{number(one.modules)} modules"),
            Cell(decimal(one.cosine), kind="num"),
            Cell(decimal(one.random), kind="num"),
            Cell(decimal(one.shuffled), kind="num"),
            Cell(decimal(one.outputs), f"chance {decimal(one.outputs_chance)}", "num"),
            Cell(decimal(one.inputs), f"chance {decimal(one.inputs_chance)}", "num"),
        )
        for one in rows
    )
    heads = ("Updates", "Cosine", "Random, at most", "Shuffled, at most", "Overlap of what they write",
             "Overlap of what they read")  # fmt: skip
    return Table(heads, body, "Every two updates; an overlap is the mean squared cosine of the principal angles",
                 stack=True)  # fmt: skip


def kinds(part: Weights) -> Table:
    """The same by kind of module, a mean over its layers and over all pairs; each module stands in the findings."""
    by_kind: dict[str, list[tuple[float, float, float]]] = {}
    for one in part.modules:
        if one.cosine is not None and one.outputs is not None and one.inputs is not None:
            by_kind.setdefault(one.module.rsplit(".", 1)[-1], []).append((one.cosine, one.outputs, one.inputs))
    body = tuple(
        (Cell(kind), Cell(number(len(rows)), kind="num"), *(Cell(decimal(fmean(column)), kind="num")
                                                            for column in zip(*rows, strict=True)))
        for kind, rows in by_kind.items()
    )  # fmt: skip
    heads = ("Module", "Pairs and layers", "Cosine", "Overlap of what they write", "Overlap of what they read")
    return Table(heads, body, "By kind of module, means over layers and pairs")


def along(place: int, line: RateLine) -> Chart:
    """Rates along one line, with its control."""
    series = (
        ("misaligned", VERMILLION, [(point.alpha, point.rate) for point in line.points]),
        ("coherent", BLUE, [(point.alpha, point.coherent) for point in line.points]),
        ("misaligned, random line of equal length", GREY,
         [(point.alpha, point.random) for point in line.points if point.random]),
    )  # fmt: skip
    traces: list[Any] = []
    for name, colour, rates in series:
        values = [rate.value for _, rate in rates]
        hover = [f"{charts.plain_text(name)}<br>{rate_text(rate)}" for _, rate in rates]
        error = charts.errors(values, [rate.low for _, rate in rates], [rate.high for _, rate in rates], colour)
        at = [alpha for alpha, _ in rates]
        traces.append(charts.line(name, at, values, colour, error_y=error, text=hover, hoverinfo="text"))
    body = tuple(
        (Cell(f"{point.alpha:g}", kind="num"), rate_cell(point.rate), rate_cell(point.coherent),
         rate_cell(point.random))
        for point in line.points
    )  # fmt: skip
    layout = {
        "xaxis": charts.axis(f"0 is {charts.plain_text(line.one)}, 1 is {charts.plain_text(line.other)}"),
        "yaxis": charts.share_axis("share of all answers", range=[0, 1.05]),
        "showlegend": True,
    }
    return Chart(
        f"weights-line-{place}", f"From {line.one} to {line.other} and beyond", traces, layout,
        Table(("Point", "Misaligned", "Coherent", "Misaligned, random line"), body), 360,
    )  # fmt: skip


def courses(part: Weights) -> Chart:
    """The cosine of each update with the difference, by step."""
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for place, one in enumerate(part.watched):
        steps, cosines = [at.step for at in one.steps], [at.cosine for at in one.steps]
        colour = COLOURS[place % len(COLOURS)]
        shape = {"color": colour, "width": 2, "dash": "dot" if one.part else "solid"}
        traces.append(charts.line(one.name, steps, cosines, colour, line=shape))
        body += (
            (Cell(one.name, "one of the two" if one.part else ""), Cell(number(at.step), kind="num"),
             Cell(decimal(at.cosine), kind="num"), Cell(decimal(one.random), kind="num"), rate_cell(one.rate))
            for at in one.steps
        )  # fmt: skip
    bad, _, good = part.minus.partition(":")
    layout = {"xaxis": charts.axis("optimiser step"), "yaxis": charts.axis("cosine"), "showlegend": True}
    heads = ("Fine-tune", "Step", "Cosine", "Random, at most", "Misaligned open answers at the end")
    return Chart(
        "weights-courses", f"Cosine of each update with {bad} minus {good} while it trains", traces, layout,
        Table(heads, tuple(body)), 360, "Dotted: the two that the difference is made of.",
    )  # fmt: skip


SECTIONS = (Entry("Fine-tunes in the space of weights", ("weights",), True, section, ("weights",), WeightsResults),)
