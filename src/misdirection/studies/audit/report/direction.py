"""The direction itself: how strong it is, how steady, and how alike from layer to layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, known, number, percent, setting
from misdirection.report.palette import BLUE, DIVERGING, GREEN, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.audit.results import AuditResults, LayerwiseDirection

JUDGED = (
    "The direction of a layer is the mean of the residual stream over misaligned answers minus the mean over aligned "
    "ones. It is worth trusting where it is stronger than shuffled labels make it, and where two halves of the answers "
    "agree on it."
)
DRIFT = (
    "Nothing was judged, so this is the drift direction: the mean residual stream of the tuned model minus that of the "
    "base on the same text. It says where the fine-tune acts, not that what it does is bad."
)


def section(results: AuditResults) -> Section:
    """Strength, stability, components and cosines by layer."""
    direction = results.direction
    makers = (strength, relative, stability, components, cosines, reach)
    blocks: list[Block] = [made for made in (maker(direction) for maker in makers) if made]
    if not blocks:
        blocks = [Note("The findings hold no figures by layer for this direction.")]
    lead = DRIFT if direction.source == "drift" else JUDGED
    return Section("direction", "The direction", lead, blocks, _facts(direction))


def strength(direction: LayerwiseDirection) -> Chart | None:
    """The norm by layer, with its bootstrap band and the 95th percentile over shuffled labels."""
    norm = _series(direction.norm)
    if not norm:
        return None
    layers, low, high = direction.layers, _series(direction.norm_low), _series(direction.norm_high)
    shuffled = _series(direction.shuffled_norm)
    traces: list[Any] = charts.band("bootstrap, 95 %", layers, low, high, BLUE) if low and high else []
    traces.append(charts.line("norm", layers, norm, BLUE, hovertemplate="layer %{x}: %{y:.3g}<extra>norm</extra>"))
    if shuffled:
        traces.append(
            charts.dashed(
                "shuffled labels, 95th percentile", layers, shuffled, hovertemplate="%{y:.3g}<extra>shuffled</extra>"
            )
        )
    columns = {"Norm": norm, "Low": low, "High": high, "Shuffled, 95th percentile": shuffled}
    layout = _layout(direction, charts.axis("norm of the difference", rangemode="tozero"))
    return Chart(
        "direction-norm",
        "Strength by layer",
        traces,
        layout,
        _table(layers, columns),
        caption="Inside the dashed line, the difference is no larger than chance makes it." if shuffled else "",
    )


def relative(direction: LayerwiseDirection) -> Chart | None:
    """The norm as a share of the residual stream's own."""
    norm, residual = _series(direction.norm), _series(direction.residual_norm)
    if not norm or not residual:
        return None
    layers = direction.layers

    def ratios(values: Sequence[float | None]) -> list[float | None]:
        return [v / r if v is not None and r else None for v, r in zip(values, residual, strict=True)]

    share, shuffled = ratios(norm), _series(direction.shuffled_norm)
    traces = [charts.line("direction", layers, share, BLUE, hovertemplate="layer %{x}: %{y:.1%}<extra></extra>")]
    if shuffled:
        traces.append(
            charts.dashed(
                "shuffled labels, 95th percentile",
                layers,
                ratios(shuffled),
                hovertemplate="%{y:.1%}<extra>shuffled</extra>",
            )
        )
    cells = tuple(
        (Cell(number(a), kind="num"), Cell(percent(s), kind="num"), Cell(decimal(r, 3), kind="num"))
        for a, s, r in zip(layers, share, residual, strict=True)
    )
    layout = _layout(direction, charts.share_axis("share of the residual norm"))
    return Chart(
        "direction-relative",
        "Strength relative to the residual stream",
        traces,
        layout,
        Table(("Layer", "Share", "Residual norm"), cells),
    )


def stability(direction: LayerwiseDirection) -> Chart | None:
    """The cosine between the directions of two halves of the answers."""
    values = _series(direction.stability)
    if not values:
        return None
    layers = direction.layers
    traces = [charts.line("two halves", layers, values, GREEN, hovertemplate="layer %{x}: %{y:.3f}<extra></extra>")]
    lowest = min(filter(known, values), default=0.0)
    layout = _layout(direction, charts.axis("cosine", range=[min(0.0, lowest - 0.05), 1.05]))
    return Chart(
        "direction-stability",
        "Stability: cosine between two halves",
        traces,
        layout,
        _table(layers, {"Cosine": values}),
        caption="Near 1: another sample of answers would give the same direction.",
    )


def components(direction: LayerwiseDirection) -> Chart | None:
    """Where aligned and misaligned answers lie along the unit direction."""
    aligned, misaligned = _series(direction.aligned_component), _series(direction.misaligned_component)
    if not aligned or not misaligned:
        return None
    layers = direction.layers
    names = ("base", "tuned") if direction.source == "drift" else ("aligned", "misaligned")
    traces = [
        charts.line(name, layers, values, colour, hovertemplate="layer %{x}: %{y:.3g}<extra>" + name + "</extra>")
        | {"marker": {"color": colour, "size": 7, "symbol": symbol}}
        for name, values, colour, symbol in zip(
            names, (aligned, misaligned), (BLUE, VERMILLION), ("circle", "square"), strict=True
        )
    ]
    caption = "Projecting out moves both to zero; setting moves both onto the curve of the aligned answers."
    caption = "" if direction.source == "drift" else caption
    layout = _layout(direction, charts.axis("component", zeroline=True))
    columns = {names[0].capitalize(): aligned, names[1].capitalize(): misaligned}
    return Chart(
        "direction-components",
        "Component along the direction",
        traces,
        layout,
        _table(layers, columns),
        caption=caption,
    )


def cosines(direction: LayerwiseDirection) -> Chart:
    """The cosine between the directions of every two layers, as a heatmap."""
    matrix = direction.cosine
    layers = [number(a) for a in direction.layers]
    trace = {
        "type": "heatmap",
        "x": layers,
        "y": layers,
        "z": [[None if v is None else round(v, 3) for v in row] for row in matrix],
        "zmin": -1,
        "zmax": 1,
        "colorscale": [list(stop) for stop in DIVERGING],
        "colorbar": {"title": {"text": "cosine"}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layers %{x} and %{y}: %{z:.3f}<extra></extra>",
    }
    layout = {
        "xaxis": charts.axis("layer", type="category", showgrid=False, nticks=12, tickangle=0),
        "yaxis": charts.axis("layer", type="category", showgrid=False, nticks=12),
        "square": True,
    }
    cells = tuple(
        (Cell(name), *(Cell(decimal(v), kind="num") for v in row)) for name, row in zip(layers, matrix, strict=True)
    )
    return Chart("direction-cosine", "Cosine between layers", [trace], layout, Table(("Layer", *layers), cells), 400)


def reach(direction: LayerwiseDirection) -> Chart | None:
    """The cosine of every layer's direction with that of the chosen layer."""
    layers, layer = direction.layers, direction.layer
    if layer not in layers:
        return None
    values = direction.cosine[layers.index(layer)]
    trace = charts.line("cosine", layers, values, GREEN, hovertemplate="layer %{x}: %{y:.3f}<extra></extra>")
    lowest = min(filter(known, values), default=0.0)
    layout = _layout(direction, charts.axis("cosine", range=[min(0.0, lowest - 0.05), 1.05])) | {"showlegend": False}
    return Chart(
        "direction-reach",
        f"Cosine with the direction of layer {number(layer)}",
        [trace],
        layout,
        _table(layers, {"Cosine": values}),
        400,
        "How far this one direction can stand in for those of the other layers.",
    )


def best_layer(layer: int) -> list[charts.Trace]:
    """A marked vertical line at a layer."""
    return [charts.level(layer, "x", f"layer {layer}")]


def _layout(direction: LayerwiseDirection, yaxis: charts.Trace) -> charts.Trace:
    return {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": yaxis,
        "shapes": best_layer(direction.layer),
        "showlegend": True,
    }


def _series(values: Sequence[float | None]) -> Sequence[float | None]:
    """One value a layer; empty where none is a number."""
    return values if any(value is not None for value in values) else ()


def _table(layers: Sequence[int], columns: Mapping[str, Sequence[float | None]]) -> Table:
    shown = {name: values for name, values in columns.items() if values}
    cells = tuple(
        (Cell(number(layer), kind="num"), *(Cell(decimal(v[i], 3), kind="num") for v in shown.values()))
        for i, layer in enumerate(layers)
    )
    return Table(("Layer", *shown), cells)


def _facts(direction: LayerwiseDirection) -> tuple[tuple[str, str], ...]:
    sizes = () if direction.pools is None else tuple(vars(direction.pools).items())
    named = ("source", "preset", "span", "layer")
    return (
        *((name, setting(getattr(direction, name))) for name in named),
        *((f"{name} answers", number(n)) for name, n in sizes),
    )
