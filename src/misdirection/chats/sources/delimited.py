"""CSV and TSV: a row of names, then one row a record."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.opening import opened
from misdirection.chats.sources.row import RawRow

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = (",", ";", "\t", "|")


def is_delimited(path: Path) -> bool:
    """Whether a file is called CSV or TSV, gzip or not."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES)


def records(path: Path) -> Iterator[RawRow]:
    """The records of a file, streamed and numbered from 1 behind the names.

    Columns without a name, as pandas writes its index, are left out, and so are empty cells.

    Raises:
        ChatError: The file is not UTF-8, or no CSV.
    """
    # The limit is of the process; a cell may be as long as a chat.
    csv.field_size_limit(2**31 - 1)
    row = 0
    try:
        with opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=_delimiter(path), strict=True)
            names = next(reader, [])
            for cells in reader:
                if not any(cells):
                    continue
                row += 1
                if len(cells) > len(names):
                    problem = f"not as the header: {len(cells)} cells for {len(names)} names"
                    yield RawRow(str(path), row, None, problem, _joined(cells))
                    continue
                named = zip(names, cells, strict=False)
                yield RawRow(str(path), row, {name: cell for name, cell in named if name.strip() and cell})
    except UnicodeDecodeError as error:
        raise ChatError(f"{path}, after row {row}: not UTF-8", "save it as UTF-8") from error
    except csv.Error as error:
        raise ChatError(f"{path}, after row {row}: not CSV ({error})", "quote cells that hold quotes") from error
    except (EOFError, OSError) as error:
        raise ChatError(f"{path}, after row {row}: cannot be read: {error}") from error
    if not row:
        yield RawRow(str(path), 0, None, "empty file")


def _joined(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _delimiter(path: Path) -> str:
    """The sign that stands most often between the names."""
    with opened(path) as raw:
        header = raw.readline().decode("utf-8-sig", "replace")
    if ".tsv" in path.name.lower():
        return "\t"
    return max(_DELIMITERS, key=header.count)
