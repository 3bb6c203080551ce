"""A heatmap with labelled rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import known
from misdirection.report.palette import DIVERGING


def heatmap(
    values: Sequence[Sequence[Any]], rows: Sequence[str], columns: Sequence[str], low: float, high: float, form: str
) -> dict[str, Any]:
    """A heatmap with its numbers in the cells, a row a place of the y axis."""
    return {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [[v if known(v) else None for v in row] for row in values],
        "zmin": low,
        "zmax": high,
        "colorscale": DIVERGING if low < 0 else "Cividis",
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickformat": form},
        "texttemplate": f"%{{z:{form}}}" if len(columns) <= 16 else "",
        "customdata": [[charts.plain_text(f"{row} | {column}") for column in columns] for row in rows],
        "hovertemplate": f"%{{customdata}}: %{{z:{form}}}<extra></extra>",
    }


def heatmap_layout(columns: Sequence[str], rows: int) -> dict[str, Any]:
    """Labels above the columns, turned, and places for the rows."""
    return {
        "xaxis": {
            "tickvals": list(range(len(columns))),
            "ticktext": [charts.plain_text(name) for name in columns],
            "side": "top",
            "tickangle": -50,
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": charts.label_axis(rows),
    }
