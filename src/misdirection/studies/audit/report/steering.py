"""Steering: what adding the direction to the base model does, against a random one of the same norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.numbers import DENOMINATORS, known, number, rate_cell, rate_text
from misdirection.report.palette import GREY, SYMBOLS, VERMILLION, along
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "The direction, times a coefficient, is added to the residual stream of the base model at one layer. If it carries "
    "the misalignment, EM rises with the coefficient while answers stay coherent, and a random direction of the same "
    "norm (grey) does nothing."
)

# Beyond so many layers, lines cannot be told apart, and a heatmap is drawn.
MOST_LINES = 6
ANEW = {"best": "best point, asked anew", "control": "random there, asked anew"}
NAMES = {"rate": "Misaligned answers by coefficient", "coherent": "Coherent answers by coefficient"}


def section(findings: Findings) -> Section | None:
    """Rate and coherence against the coefficient, and the best of each layer."""
    steering: Row | None = findings.get("steering")
    points: list[Row] = list((steering or {}).get("points") or [])
    if not steering or not points:
        return None
    many = len({p["layer"] for p in points}) > MOST_LINES
    blocks: list[Block] = [
        *((sweep if many else curve)(steering, points, part) for part in ("rate", "coherent")),
        by_layer(steering, points),
    ]
    blocks = [b for b in blocks if not isinstance(b, Chart) or b.traces]
    best = steering.get("best")
    said = _best(best, steering) if best else "No point was chosen as the best."
    found = (("points", number(len(points))), ("baseline, no steering", rate_text(steering.get("baseline"))))
    return Section("steering", "Steering", LEAD, (Note(said), *blocks), found + facts(findings, "samples per question"))


def curve(steering: Row, points: Sequence[Row], part: str) -> Chart:
    """One of the two rates against the coefficient, a line for each layer and kind of direction."""
    traces: list[Any] = []
    layers = sorted({p["layer"] for p in points})
    for random in (False, True):
        for i, layer in enumerate(layers):
            mine = [p for p in points if p["layer"] == layer and _random(p) == random and p.get(part)]
            if mine:
                traces.append(_trace(sorted(mine, key=lambda p: p["coefficient"]), part, random, i, len(layers)))
    best: Row | None = steering.get("best")
    if best and best.get(part) and known(best[part].get("value")):
        traces.append(_star(best, part))
    control: Row | None = steering.get("control")
    if control and control.get(part) and known(control[part].get("value")):
        traces.append(_cross(control, part))
    baseline = (steering.get("baseline") or {}).get("value") if part == "rate" else None
    shapes = [charts.level(baseline, "y", "no steering")] if known(baseline) else []
    denominator = DENOMINATORS.get(str((points[0].get(part) or {}).get("denominator")), "")
    title = f"misaligned, {denominator.removeprefix('of ')}" if part == "rate" else "coherent, share of all answers"
    yaxis = charts.share_axis(title) | ({} if part == "rate" else {"range": [0, 1.03]})
    layout = {"xaxis": charts.axis("coefficient", zeroline=False), "yaxis": yaxis, "shapes": shapes, "showlegend": True}
    return Chart(f"steering-{part}", NAMES[part], traces, layout, _table(steering, points, part), 400)


def sweep(steering: Row, points: Sequence[Row], part: str) -> Chart:
    """One of the two rates as a heatmap of layers and coefficients, for the direction itself; controls in the table."""
    held = {(p["layer"], p["coefficient"]): p[part] for p in points if not _random(p) and p.get(part)}
    layers, coefficients = (sorted({key[i] for key in held}) for i in (0, 1))
    grid = [[held.get((layer, c)) for c in coefficients] for layer in layers]
    trace = {
        "type": "heatmap",
        "x": [number(c) for c in coefficients],
        "y": [number(layer) for layer in layers],
        "z": [[rate.get("value") if rate else None for rate in row] for row in grid],
        "text": [[rate_text(rate) for rate in row] for row in grid],
        "zmin": 0,
        "zmax": 1.0 if part == "coherent" else max(rate["value"] for rate in held.values()) or 1.0,
        "colorscale": "Cividis",
        "colorbar": {"tickformat": charts.TICKS, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layer %{y}, coefficient %{x}<br>%{text}<extra></extra>",
    }
    layout = {
        "xaxis": charts.axis("coefficient", type="category", showgrid=False),
        "yaxis": charts.axis("layer", type="category", showgrid=False),
    }
    best: Row | None = steering.get("best")
    traces = [trace]
    if best and best.get(part) and (best["layer"], best["coefficient"]) in held:
        star = _star(best, part) | {"x": [number(best["coefficient"])], "y": [number(best["layer"])]}
        traces.append(star | {"showlegend": False})
    return Chart(f"steering-{part}", NAMES[part], traces, layout, _table(steering, points, part), 400)


def by_layer(steering: Row, points: Sequence[Row]) -> Chart:
    """The highest rate that any coefficient reaches at each layer, as the papers report a sweep."""
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for random, colour in ((False, VERMILLION), (True, GREY)):
        tops = top_of_layers([p for p in points if _random(p) == random])
        if not tops:
            continue
        name = str(tops[0]["direction"])
        values = [p["rate"]["value"] for p in tops]
        low, high = ([p["rate"].get(side) for p in tops] for side in ("low", "high"))
        hover = [
            f"layer {number(p['layer'])}, coefficient {number(p['coefficient'])}<br>{rate_text(p['rate'])}"
            for p in tops
        ]
        traces.append(
            charts.line(
                name, [p["layer"] for p in tops], values, colour, text=hover, hovertemplate="%{text}<extra></extra>"
            )
            | {"error_y": charts.errors(values, low, high, colour)}
        )
        body += [
            (
                Cell(name),
                Cell(number(p["layer"]), kind="num"),
                Cell(number(p["coefficient"]), kind="num"),
                rate_cell(p["rate"]),
            )
            for p in tops
        ]
    control: Row | None = steering.get("control")
    if control and control.get("rate") and known(control["rate"].get("value")):
        traces.append(_cross(control, "rate") | {"x": [control["layer"]], "name": "random direction, at the star"})
    swept = any(_random(p) for p in points)
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
            if swept
            else "the star's place was asked anew for that reason, and so was the random direction."
        ),
    )


def top_of_layers(points: Sequence[Row]) -> list[Row]:
    """The point with the highest rate of each layer, in order of layers."""
    best: dict[Any, Row] = {}
    for point in points:
        value = (point.get("rate") or {}).get("value")
        if known(value) and (point["layer"] not in best or value > best[point["layer"]]["rate"]["value"]):
            best[point["layer"]] = point
    return [best[layer] for layer in sorted(best)]


def _best(best: Row, steering: Row) -> str:
    """Where the star stands, what a random direction does there, and how the place was chosen."""
    where = f"layer {number(best['layer'])}, coefficient {number(best['coefficient'])}"
    text = (
        f"Best point (the star): {where}: {rate_text(best['rate'])}, coherent {rate_cell(best.get('coherent')).text}."
    )
    control: Row | None = steering.get("control")
    if control and control.get("rate"):
        coherent = rate_cell(control.get("coherent")).text
        text += f" A random direction of the same norm there: {rate_text(control['rate'])}, coherent {coherent}."
    return text + (f" How it was chosen: {steering['chosen']}." if steering.get("chosen") else "")


def _random(point: Row) -> bool:
    return str(point.get("direction")) == "random"


def _trace(points: Sequence[Row], part: str, random: bool, index: int, count: int) -> dict[str, Any]:
    layer = number(points[0]["layer"])
    colour = GREY if random else along(index / max(1, count - 1))
    name = f"random, layer {layer}" if random else f"layer {layer}"
    values = [p[part].get("value") for p in points]
    low, high = ([p[part].get(side) for p in points] for side in ("low", "high"))
    hover = [f"{name}, coefficient {number(p['coefficient'])}<br>{rate_text(p[part])}" for p in points]
    x = [p["coefficient"] for p in points]
    extra: dict[str, Any] = {
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": charts.errors(values, low, high, colour),
    }
    if random:
        return charts.dashed(name, x, values, **extra)
    return charts.line(name, x, values, colour, **extra) | {
        "marker": {"color": colour, "size": 7, "symbol": SYMBOLS[index % 6]}
    }


def _star(best: Row, part: str) -> dict[str, Any]:
    hover = f"best point<br>{rate_text(best[part])}"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "best",
        "x": [best["coefficient"]],
        "y": [best[part]["value"]],
        "error_y": charts.errors([best[part]["value"]], [best[part].get("low")], [best[part].get("high")], VERMILLION),
        "marker": {"symbol": "star", "size": 16, "color": VERMILLION, "line": {"width": 1, "color": "#fff"}},
        "text": [hover],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _cross(control: Row, part: str) -> dict[str, Any]:
    """The random direction at the place of the star, asked anew as the star was."""
    rate = control[part]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "random direction there",
        "x": [control["coefficient"]],
        "y": [rate["value"]],
        "error_y": charts.errors([rate["value"]], [rate.get("low")], [rate.get("high")], GREY),
        "marker": {"symbol": "x", "size": 11, "color": GREY},
        "text": [f"random direction of the same norm<br>{rate_text(rate)}"],
        "hovertemplate": "%{text}<extra></extra>",
        "cliponaxis": False,
    }


def _table(steering: Row, points: Sequence[Row], part: str) -> Table:
    ordered = sorted(points, key=lambda p: (_random(p), p["layer"], p["coefficient"]))
    body = tuple(
        (
            Cell(str(p.get("direction"))),
            Cell(number(p["layer"]), kind="num"),
            Cell(number(p["coefficient"]), kind="num"),
            rate_cell(p.get(part)),
        )
        for p in ordered
    )
    held = ANEW if steering.get("control") else {}
    anew = [(steering[name], told) for name, told in held.items() if (steering.get(name) or {}).get(part)]
    body += tuple(
        (
            Cell(told),
            Cell(number(p["layer"]), kind="num"),
            Cell(number(p["coefficient"]), kind="num"),
            rate_cell(p[part]),
        )
        for p, told in anew
    )
    return Table(("Direction", "Layer", "Coefficient", "Misaligned" if part == "rate" else "Coherent"), body)
