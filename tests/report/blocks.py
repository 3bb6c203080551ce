"""The charts and tables of a section."""

from __future__ import annotations

from typing import Any

from misdirection.report.parts import Chart, Section, Table


def charts_of(section: Section | None) -> dict[str, Chart]:
    assert section is not None
    return {block.key: block for block in section.blocks if isinstance(block, Chart)}


def tables_of(section: Section | None) -> list[Table]:
    assert section is not None
    return [block for block in section.blocks if isinstance(block, Table)]


def data_of(section: Section | None) -> Any:
    """What the template of a section's first block is given."""
    assert section is not None
    return getattr(section.blocks[0], "data", None)


def notes_of(section: Section | None) -> list[str]:
    assert section is not None
    return [str(getattr(block, "text", "")) for block in section.blocks if hasattr(block, "text")]


def texts(table: Table) -> list[list[str]]:
    return [[f"{cell.text} {cell.sub}".strip() for cell in row] for row in table.rows]


def trace(chart: Chart, name: str) -> dict[str, Any]:
    return next(dict(one) for one in chart.traces if one.get("name") == name)
