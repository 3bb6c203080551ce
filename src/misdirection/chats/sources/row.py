"""A row as it stands in its file, before it is known what it means."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

READ = "JSON lines, a JSON array, Parquet, CSV or TSV (each plain or gzip), or a folder of them or of a saved dataset"
"""What is read, for messages."""


@dataclass(frozen=True)
class RawRow:
    """One row.

    Attributes:
        source: File that it stands in.
        row: Its place there, from 1; 0 when the file has none.
        value: What was read; None where there is a problem.
        problem: What is wrong with it, "" where nothing is.
        line: Its bytes with their line end, where it is a line; None where it is an element or a row of a table.
    """

    source: str
    row: int
    value: Any = None
    problem: str = ""
    line: bytes | None = None

    @property
    def text(self) -> str:
        r"""The row as text, bytes that are not UTF-8 written as `\xNN`."""
        if self.line is not None:
            return self.line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        return "" if self.value is None else json.dumps(self.value, ensure_ascii=False, default=str)

    @property
    def as_line(self) -> bytes:
        """The row as a line of JSON: its own bytes where it is one."""
        return self.line if self.line is not None else (self.text + "\n").encode()


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        kind: How they stand there: "JSON lines", "Parquet", ...
        rows: The rows, streamed.
        files: The files they are read from; none for a data set of the hub.
        notes: What a reader should know, as which split was taken.
    """

    kind: str
    rows: Iterator[RawRow]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())


def plain(value: Any) -> Any:
    """A value of a table as JSON would have it: what is not a number is nothing, arrays are lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    return value
