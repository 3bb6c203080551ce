"""Steering: what adding the direction to the base model does, against a random one of the same norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import DENOMINATORS, number, rate_cell, rate_text
from misdirection.report.palette import GREY, SYMBOLS, VERMILLION, along
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import RateRow
from misdirection.results.judged import JudgedResults, Steering, SteeringPoint

LEAD = (
    "The direction, times a coefficient, is added to the residual stream of the base model at one layer. If it carries "
    "the misalignment, it rises with the coefficient while answers stay coherent, and a random direction of the same "
    "norm (grey) does nothing."
)

# Beyond so many layers, lines cannot be told apart, and a heatmap is drawn.
MOST_LINES = 6
ANEW = {"best": "best point, asked anew", "control": "random there, asked anew"}
NAMES = {"rate": "Misaligned answers by coefficient", "coherent": "Coherent answers by coefficient"}


def section(results: JudgedResults) -> Section | None:
    """Rate and coherence against the coefficient, and the best of each layer."""
    steering = results.steering
    if steering is None:
        return None
    many = len({point.layer for point in steering.points}) > MOST_LINES
    blocks: list[Block] = [Note(_best(steering))]
    blocks += [(sweep if many else curve)(steering, part) for part in ("rate", "coherent")]
    blocks.append(by_layer(steering))
    told = (("points", number(len(steering.points))), ("baseline, no steering", rate_text(steering.baseline)))
    return Section("steering", "Steering", LEAD, blocks, told + facts(results, "samples per question"))


def curve(steering: Steering, part: str) -> Chart:
    """One of the two rates against the coefficient, a line for each layer and kind of direction."""
    points = steering.points
    traces: list[Any] = []
    layers = sorted({point.layer for point in points})
    for random in (False, True):
        for i, layer in enumerate(layers):
            mine = [point for point in points if point.layer == layer and _random(point) == random]
            if mine:
                traces.append(_trace(sorted(mine, key=lambda p: p.coefficient), part, random, i, len(layers)))
    traces.append(_star(steering.best, part))
    if steering.control:
        traces.append(_cross(steering.control, part))
    baseline = steering.baseline.value if steering.baseline and part == "rate" else None
    shapes = [] if baseline is None else [charts.level(baseline, "y", "no steering")]
    denominator = DENOMINATORS.get(_rate(points[0], part).denominator, "")
    title = f"misaligned, {denominator.removeprefix('of ')}" if part == "rate" else "coherent, share of all answers"
    yaxis = charts.share_axis(title) | ({} if part == "rate" else {"range": [0, 1.03]})
    layout = {"xaxis": charts.axis("coefficient", zeroline=False), "yaxis": yaxis, "shapes": shapes, "showlegend": True}
    return Chart(f"steering-{part}", NAMES[part], traces, layout, _table(steering, part), 400)


def sweep(steering: Steering, part: str) -> Chart:
    """One of the two rates as a heatmap of layers and coefficients, for the direction itself; controls in the table."""
    rates = {(p.layer, p.coefficient): _rate(p, part) for p in steering.points if not _random(p)}
    layers, coefficients = sorted({layer for layer, _ in rates}), sorted({c for _, c in rates})
    grid = [[rates.get((layer, c)) for c in coefficients] for layer in layers]
    trace: charts.Trace = {
        "type": "heatmap",
        "x": [number(c) for c in coefficients],
        "y": [number(layer) for layer in layers],
        "z": [[rate and rate.value for rate in row] for row in grid],
        "text": [[rate_text(rate) for rate in row] for row in grid],
        "zmin": 0,
        "zmax": 1.0 if part == "coherent" else max(rate.value or 0.0 for rate in rates.values()) or 1.0,
        "colorscale": "Cividis",
        "colorbar": {"tickformat": charts.TICKS, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layer %{y}, coefficient %{x}<br>%{text}<extra></extra>",
    }
    layout = {
        "xaxis": charts.axis("coefficient", type="category", showgrid=False),
        "yaxis": charts.axis("layer", type="category", showgrid=False),
    }
    best = steering.best
    traces = [trace]
    if (best.layer, best.coefficient) in rates:
        star = _star(best, part) | {"x": [number(best.coefficient)], "y": [number(best.layer)]}
        traces.append(star | {"showlegend": False})
    return Chart(f"steering-{part}", NAMES[part], traces, layout, _table(steering, part), 400)


def by_layer(steering: Steering) -> Chart:
    """The highest rate that any coefficient reaches at each layer, as the papers report a sweep."""
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for random, colour in ((False, VERMILLION), (True, GREY)):
        tops = top_of_layers([point for point in steering.points if _random(point) == random])
        if not tops:
            continue
        name = tops[0].direction
        values = [point.rate.value for point in tops]
        hover = [f"layer {number(p.layer)}, coefficient {number(p.coefficient)}<br>{rate_text(p.rate)}" for p in tops]
        line = charts.line(
            name, [p.layer for p in tops], values, colour, text=hover, hovertemplate="%{text}<extra></extra>"
        )
        low, high = [p.rate.low for p in tops], [p.rate.high for p in tops]
        traces.append(line | {"error_y": charts.errors(values, low, high, colour)})
        body += [_cells(name, point, "rate") for point in tops]
    if control := steering.control:
        traces.append(_cross(control, "rate") | {"x": [control.layer], "name": "random direction, at the star"})
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.share_axis("misaligned"),
        "showlegend": True,
    }
    return Chart(
        "steering-layers",
        "Best coefficient of each layer",
        traces,
        layout,
        Table(("Direction", "Layer", "Coefficient", "Misaligned"), tuple(body)),
        height=320,
        wide=True,
        caption="The highest of several noisy rates lies too high on average: "
        + (
            "compare with the random direction, chosen the same way."
            if any(map(_random, steering.points))
            else "the star's place was asked anew for that reason, and so was the random direction."
        ),
    )


def top_of_layers(points: Sequence[SteeringPoint]) -> list[SteeringPoint]:
    """The point with the highest rate of each layer, in order of layers."""
    best: dict[int, SteeringPoint] = {}
    for point in points:
        if point.layer not in best or (point.rate.value or 0.0) > (best[point.layer].rate.value or 0.0):
            best[point.layer] = point
    return [best[layer] for layer in sorted(best)]


def _best(steering: Steering) -> str:
    """Where the star stands, what a random direction does there, and how the place was chosen."""
    best, control = steering.best, steering.control
    where = f"layer {number(best.layer)}, coefficient {number(best.coefficient)}"
    text = f"Best point (the star): {where}: {rate_text(best.rate)}, coherent {rate_cell(best.coherent).text}."
    if control:
        coherent = rate_cell(control.coherent).text
        text += f" A random direction of the same norm there: {rate_text(control.rate)}, coherent {coherent}."
    return text + (f" How it was chosen: {steering.chosen}." if steering.chosen else "")


def _random(point: SteeringPoint) -> bool:
    return point.direction == "random"


def _rate(point: SteeringPoint, part: str) -> RateRow:
    return point.rate if part == "rate" else point.coherent


def _trace(points: Sequence[SteeringPoint], part: str, random: bool, index: int, count: int) -> charts.Trace:
    layer = number(points[0].layer)
    colour = GREY if random else along(index / max(1, count - 1))
    name = f"random, layer {layer}" if random else f"layer {layer}"
    rates = [_rate(point, part) for point in points]
    values = [rate.value for rate in rates]
    x = [point.coefficient for point in points]
    extra: charts.Trace = {
        "text": [f"{name}, coefficient {number(c)}<br>{rate_text(rate)}" for c, rate in zip(x, rates, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": charts.errors(values, [rate.low for rate in rates], [rate.high for rate in rates], colour),
    }
    if random:
        return charts.dashed(name, x, values, **extra)
    return charts.line(name, x, values, colour, **extra) | {
        "marker": {"color": colour, "size": 7, "symbol": SYMBOLS[index % 6]}
    }


def _star(best: SteeringPoint, part: str) -> charts.Trace:
    marker = {"symbol": "star", "size": 16, "color": VERMILLION, "line": {"width": 1, "color": "#fff"}}
    return _mark(best, part, "best", "best point", VERMILLION, marker)


def _cross(control: SteeringPoint, part: str) -> charts.Trace:
    """The random direction at the place of the star, asked anew as the star was."""
    marker = {"symbol": "x", "size": 11, "color": GREY}
    name, words = "random direction there", "random direction of the same norm"
    return _mark(control, part, name, words, GREY, marker) | {"cliponaxis": False}


def _mark(point: SteeringPoint, part: str, name: str, words: str, colour: str, marker: charts.Trace) -> charts.Trace:
    rate = _rate(point, part)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [point.coefficient],
        "y": [rate.value],
        "error_y": charts.errors([rate.value], [rate.low], [rate.high], colour),
        "marker": marker,
        "text": [f"{words}<br>{rate_text(rate)}"],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _table(steering: Steering, part: str) -> Table:
    ordered = sorted(steering.points, key=lambda p: (_random(p), p.layer, p.coefficient))
    body = [_cells(point.direction, point, part) for point in ordered]
    if steering.control:
        body += [_cells(ANEW["best"], steering.best, part), _cells(ANEW["control"], steering.control, part)]
    heads = ("Direction", "Layer", "Coefficient", "Misaligned" if part == "rate" else "Coherent")
    return Table(heads, tuple(body))


def _cells(name: str, point: SteeringPoint, part: str) -> tuple[Cell, ...]:
    place = (Cell(number(point.layer), kind="num"), Cell(number(point.coefficient), kind="num"))
    return (Cell(name), *place, rate_cell(_rate(point, part)))
