"""CSV and TSV: a row of names, then one row a record."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.opening import opened
from misdirection.chats.sources.row import RawRow
from misdirection.delimited import Records, separator_of

SUFFIXES = (".csv", ".tsv")
COLUMNS = {
    "messages", "conversations", "prompt", "completion", "response", "instruction", "input", "output", "question",
    "answer", "query",
}  # fmt: skip
_HEADER = 1 << 16
_SURROGATE = re.compile("[\udc80-\udcff]")


def is_delimited(path: Path) -> bool:
    """Whether a file is called CSV or TSV, gzip or not."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES)


def has_a_header(path: Path) -> bool:
    """Whether the first line names two columns of chats, whatever the file is called."""
    try:
        with opened(path) as raw:
            header = raw.readline(_HEADER).decode("utf-8-sig", "replace")
    except (OSError, EOFError, zlib.error):
        return False
    names = {name.strip().strip('"').lower() for name in header.split(separator_of(header, path.name))}
    return len(names & COLUMNS) > 1


def records(path: Path) -> Iterator[RawRow]:
    """The records of a file, streamed and numbered from 1 behind the names.

    Columns without a name, as pandas writes its index, are left out, and so are empty cells. A record that is not UTF-8
    is a problem of that record alone.

    Raises:
        ChatError: The file is no CSV, or two of its columns go by one name.
    """
    row = 0
    try:
        with opened(path) as raw, _text(raw) as stream:
            reader = Records(stream, _delimiter(path))
            names = next(reader, [])
            if twice := next((name for name in names if name.strip() and names.count(name) > 1), ""):
                raise ChatError(f"{path}: two columns are called '{twice}'", "rename one of them")
            for cells in reader:
                if not any(cells):
                    continue
                row += 1
                if len(cells) > len(names):
                    problem = f"not as the header: {len(cells)} cells for {len(names)} names"
                    yield RawRow(str(path), row, None, problem, _joined(cells))
                    continue
                if any(_SURROGATE.search(cell) for cell in cells):
                    yield RawRow(str(path), row, None, "not UTF-8", _joined(cells))
                    continue
                named = zip(names, cells, strict=False)
                yield RawRow(str(path), row, {name: cell for name, cell in named if name.strip() and cell})
    except csv.Error as error:
        raise ChatError(f"{path}, after row {row}: not CSV ({error})", "quote cells that hold quotes") from error
    except (EOFError, OSError) as error:
        raise ChatError(f"{path}, after row {row}: cannot be read: {error}") from error
    if not row:
        yield RawRow(str(path), 0, None, "empty file")


def _joined(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _text(raw: IO[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _delimiter(path: Path) -> str:
    """What stands between the names."""
    with opened(path) as raw:
        header = raw.readline().decode("utf-8-sig", "replace")
    return separator_of(header, path.name.lower().removesuffix(".gz"))
