"""Traces and axes of plotly.js as plain mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from misdirection.report.numbers import fields_of, known
from misdirection.report.palette import GREY

if TYPE_CHECKING:
    from misdirection.results import Difference, RateRow

Trace = dict[str, Any]

TICKS = ".2~%"
"""Ticks in percent: two decimals where the range is small, none where they are zero."""


def plain_text(text: Any) -> str:
    """Text that plotly.js shows as it is: it would otherwise read tags and entities in it."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def errors(values: Sequence[Any], low: Sequence[Any], high: Sequence[Any], colour: str) -> dict[str, Any]:
    """Error bars from `low` to `high` around `values`; none where a bound is not known."""

    def gap(a: Any, b: Any) -> float | None:
        return max(0.0, a - b) if known(a) and known(b) else None

    return {
        "type": "data",
        "symmetric": False,
        "array": [gap(h, v) for v, h in zip(values, high, strict=True)],
        "arrayminus": [gap(v, b) for v, b in zip(values, low, strict=True)],
        "thickness": 1.6,
        "width": 3,
        "color": colour,
    }


def points(
    name: str,
    rates: Sequence[Mapping[str, Any] | RateRow | Difference | None],
    at: Sequence[float],
    colour: str,
    hover: Sequence[str],
    symbol: str = "circle",
) -> Trace:
    """Horizontal points with intervals: one rate for each place on the y axis; places without a rate are left out."""
    rows = [fields_of(rate) if rate else {} for rate in rates]
    kept = [(r, y, h) for r, y, h in zip(rows, at, hover, strict=True) if known(r.get("value"))]
    values = [r["value"] for r, _, _ in kept]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain_text(name),
        "x": values,
        "y": [y for _, y, _ in kept],
        "error_x": errors(values, [r.get("low") for r, _, _ in kept], [r.get("high") for r, _, _ in kept], colour),
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "text": [h for _, _, h in kept],
        "hovertemplate": "%{text}<extra></extra>",
        # A point at zero lies on the axis and is to be seen whole.
        "cliponaxis": False,
    }


def line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, **extra: Any) -> Trace:
    """A line with small markers; `extra` goes into the trace."""
    shape: Trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain_text(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 6},
    }
    return shape | extra


def dashed(name: str, x: Sequence[Any], y: Sequence[Any], colour: str = GREY, **extra: Any) -> Trace:
    """A dashed line without markers, for controls and references."""
    return line(name, x, y, colour, **extra) | {"mode": "lines", "line": {"color": colour, "width": 2, "dash": "dash"}}


def band(name: str, x: Sequence[Any], low: Sequence[Any], high: Sequence[Any], colour: str) -> list[Trace]:
    """A shaded band between two curves, as the two traces that plotly.js wants."""
    shared: Trace = {"type": "scatter", "mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
    lower = shared | {"x": list(x), "y": list(low), "showlegend": False}
    fill = _faint(colour)
    upper = shared | {"x": list(x), "y": list(high), "fill": "tonexty", "fillcolor": fill, "name": plain_text(name)}
    return [lower, upper]


def axis(title: str, **extra: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {"title": {"text": title}} | extra


def layer_axis(count: int) -> dict[str, Any]:
    """An axis of layers: every one is named where that can be read, of a deep model every second, fifth or tenth."""
    return axis("layer", zeroline=False, dtick=next(step for step in (1, 2, 5, 10, 20, count) if count <= 16 * step))


def share_axis(title: str, **extra: Any) -> dict[str, Any]:
    """An axis of shares in percent, from zero."""
    return axis(title, tickformat=TICKS, rangemode="tozero", zeroline=True) | extra


def label_axis(count: int) -> dict[str, Any]:
    """A y axis of `count` labelled places, the first on top; the page fills in the labels."""
    return {"tickvals": list(range(count)), "range": [count - 0.4, -0.6], "zeroline": False, "showgrid": False}


def level(value: float, along_axis: str, text: str = "") -> dict[str, Any]:
    """A reference line across the plot at `value` of the axis "x" or "y"."""
    other = "y" if along_axis == "x" else "x"
    return {
        "type": "line",
        f"{along_axis}0": value,
        f"{along_axis}1": value,
        f"{other}0": 0,
        f"{other}1": 1,
        f"{other}ref": "paper",
        "line": {"color": GREY, "width": 1.5, "dash": "dot"},
        "label": {"text": plain_text(text), "font": {"size": 11, "color": GREY}, "textposition": "end"}
        | ({"textangle": 0, "xanchor": "left", "yanchor": "top"} if along_axis == "x" else {}),
    }


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.22)"


def holding_all(layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layout with every fixed range that runs upwards made wide enough for all that is drawn along its axis."""
    return {name: _widened(name, axis, traces) if "axis" in name else axis for name, axis in layout.items()}


def _widened(name: str, axis: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    low, high = axis.get("range") or (None, None)
    if low is None or high is None or low >= high:
        return axis
    letter, own = name[0], name.replace("axis", "")
    drawn = [at for trace in traces if trace.get(f"{letter}axis", letter) == own for at in _ends(trace, letter)]
    room = 0.03 * (high - low)
    least, most = min(drawn, default=low), max(drawn, default=high)
    return {**axis, "range": [low if least >= low else least - room, high if most <= high else most + room]}


def _ends(trace: Mapping[str, Any], letter: str) -> Iterator[float]:
    values = list(trace.get(letter) or ())
    yield from filter(known, values)
    bars = trace.get(f"error_{letter}") or {}
    for side, sign in (("array", 1), ("arrayminus", -1)):
        for value, length in zip(values, bars.get(side) or (), strict=False):
            if known(value) and known(length):
                yield value + sign * length
