"""Points and cells that the sections of traits share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import DASH, decimal, known, number
from misdirection.report.parts import Cell
from misdirection.results.rows import Interval


def scatter(
    name: str, x: Sequence[Any], y: Sequence[Any], told: Sequence[str], colour: str, symbol: str | Sequence[str]
) -> dict[str, Any]:
    """Points in two dimensions, each with what it is."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": charts.plain_text(name),
        "x": list(x),
        "y": list(y),
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "text": [charts.plain_text(one) for one in told],
        "hovertemplate": "%{text}: %{y:.0f} at %{x:.3g}<extra></extra>",
        "cliponaxis": False,
    }


def score_cell(score: Interval | None, digits: int = 1) -> Cell:
    """A mean or correlation with its interval."""
    if score is None:
        return Cell(DASH, kind="num")
    ends = f"{decimal(score.low, digits)} to {decimal(score.high, digits)}" if known(score.low) else ""
    return Cell(decimal(score.value, digits), ", ".join(p for p in (ends, f"n {number(score.n)}") if p), "num")
