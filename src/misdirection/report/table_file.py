"""A table of the report as a CSV file that the page itself carries."""

from __future__ import annotations

import base64
import csv
import io
import re

from misdirection.naming import slug
from misdirection.report.parts import Table

_PLAIN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2212": "-", "\u2009": " "})
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[\d.,]+(?:e[+-]?\d+)?(?: ?%)?")


def as_csv(table: Table) -> str:
    """The table as text: a column for each heading, and one more ("..., detail") where a cell has a second line."""
    detailed = [any(row[place].sub for row in table.rows) for place in range(len(table.columns))]
    stream = io.StringIO()
    out = csv.writer(stream)
    heads = [(name or f"column {place + 1}", detailed[place]) for place, name in enumerate(table.columns)]
    out.writerow([_safe(name) for head, two in heads for name in ((head, f"{head}, detail") if two else (head,))])
    for row in table.rows:
        out.writerow([
            _safe(text) for cell, two in zip(row, detailed, strict=True)
            for text in ((cell.text, cell.sub) if two else (cell.text,))
        ])  # fmt: skip
    return stream.getvalue()


def csv_link(table: Table) -> str:
    """The file as a data URL: it works in a saved page, without a script and without a server."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(as_csv(table).encode()).decode()


def file_name(title: str) -> str:
    """A name for the file, after what the table is called."""
    return (slug(title)[:60] or "table") + ".csv"


def _safe(text: str) -> str:
    """Plain signs and spaces; what a spreadsheet would take for a formula is quoted, since answers stand in tables."""
    plain = " ".join(text.translate(_PLAIN).split())
    return f"'{plain}" if plain.startswith(_RISKY) and not _NUMBER.fullmatch(plain) else plain
