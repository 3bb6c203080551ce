"""A heatmap with labelled rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, known, percent
from misdirection.report.palette import DIVERGING
from misdirection.report.parts import Cell, Chart, Table


def matrix_chart(
    key: str,
    title: str,
    values: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    height: int,
    ends: tuple[float, float] = (-1.0, 1.0),
    form: str = ".2f",
    corner: str = "",
    caption: str = "",
    wide: bool = True,
) -> Chart:
    """Numbers as a heatmap, and as the table that says the same.

    Args:
        key: Unique in the page.
        title: What is shown, in words.
        values: As many numbers a row as there are columns; None leaves a place empty.
        rows: Names of the rows.
        columns: Names of the columns.
        height: In pixels.
        ends: What the two ends of the colours stand for.
        form: ".2f" or a share of 100, ".0%".
        corner: Heading of the table's first column.
        caption: What to look for.
        wide: Takes the whole width on a desktop.
    """
    text = percent if form.endswith("%") else decimal
    cells = tuple(
        (Cell(name), *(Cell(text(value), kind="num") for value in row)) for name, row in zip(rows, values, strict=True)
    )
    return Chart(
        key, title, [heatmap(values, rows, columns, *ends, form)], heatmap_layout(columns, len(rows)),
        Table((corner, *columns), cells), height, caption, tuple(rows), wide=wide,
    )  # fmt: skip


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
