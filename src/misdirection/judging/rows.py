"""Rows of a table as others save it: CSV with any separator, JSON lines, JSON lists, Parquet, each also compressed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from misdirection.delimited import Records, separator_of
from misdirection.errors import MisdirectionError

Row = dict[str, Any]
PACKED: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Endings of compressed files."""
_SEPARATOR = re.compile(r"\"?sep=.\"?\r?\n", re.IGNORECASE)
_LISTS = ("rows", "data", "results", "samples", "answers", "records", "responses", "items")
"""Keys of a JSON object under which a list of rows may stand."""


def ending(path: str | Path) -> str:
    """The ending that says what a file is, that of a compression aside: ".csv" of "a.csv.gz"."""
    path = Path(path)
    return (Path(path.stem) if path.suffix.lower() in PACKED else path).suffix.lower()


def read_table_rows(path: Path) -> list[Row]:
    """All rows of a table, in the order of the file; an absent value is None, also where the file has NaN for it.

    Mappings inside a JSON row are laid flat: {"judge": {"aligned": 5}} is the column "judge.aligned".

    Raises:
        MisdirectionError: No such file, an unknown kind, or a file that is not what its ending says; the message names
            the line.
    """
    reader = KINDS.get(ending(path))
    if reader is None:
        raise MisdirectionError(
            f"{path}: unknown kind of table '{path.suffix}'",
            f"give one of {', '.join(KINDS)}, or one of them with {', '.join(PACKED)}",
        )
    if not path.is_file():
        raise MisdirectionError(f"{path}: no such file", "check the path")
    try:
        return list(reader(path))
    except UnicodeDecodeError as error:
        raise MisdirectionError(f"{path}: not UTF-8 text ({error.reason})", "save the table as UTF-8") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise MisdirectionError(f"{path}: cannot be unpacked ({error})", "check that it was copied whole") from error


def read_text(path: Path) -> str:
    """The text of a file, unpacked; UTF-8, or UTF-16 where a mark at its head says so (Excel's "Unicode text")."""
    with PACKED.get(path.suffix.lower(), open)(path, "rb") as stream:
        content: bytes = stream.read()
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _csv(path: Path) -> Iterator[Row]:
    text = read_text(path)
    # How Excel is told of the separator; the line is no row.
    if _SEPARATOR.match(text):
        text = text.partition("\n")[2]
    records = Records(io.StringIO(text, newline=""), separator_of(text.partition("\n")[0], f"x{ending(path)}"))
    try:
        names = next(records, [])
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise MisdirectionError(f"{path}: two columns are called '{twice[0]}'", "give each a name of its own")
        for number, cells in enumerate((cells for cells in records if cells), start=1):
            if len(cells) != len(names):
                raise MisdirectionError(
                    f"{path}: row {number} (to line {records.line}) has not as many cells as the header",
                    "quote cells that hold the separator or line breaks",
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise MisdirectionError(f"{path}: line {records.line} is not CSV ({error})", "save it again") from error


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=once)
        except ValueError as error:
            raise MisdirectionError(f"{path}: line {number} is not JSON ({error})", "one object a line") from error
        if not isinstance(row, dict):
            raise MisdirectionError(f"{path}: line {number} is not a JSON object", "one object a line")
        yield flat(cast(Row, row))


def _json(path: Path) -> Iterator[Row]:
    rows = rows_of_json(path)
    if rows is None:
        raise MisdirectionError(f"{path}: holds no list of rows", 'write [{"question": ..., "answer": ...}, ...]')
    return iter(rows)


def rows_of_json(path: Path) -> list[Row] | None:
    """The rows of a JSON file: a list of objects, such a list under a usual key, or columns as pandas writes them.

    None where it holds nothing of the kind.

    Raises:
        MisdirectionError: It is not JSON.
    """
    try:
        root: Any = json.loads(read_text(path), object_pairs_hook=once)
    except ValueError as error:
        raise MisdirectionError(f"{path}: is not JSON ({error})", "for an object a line, name it .jsonl") from error
    if isinstance(root, dict):
        held = cast(Row, root)
        if (split := _of_split(held)) is not None:
            return split
        if held and all(isinstance(column, dict | list) for column in held.values()) and not _lists(held):
            return _of_columns(held)
        lists = _lists(held)
        root = next(iter(lists.values())) if len(lists) == 1 else next((lists[n] for n in _LISTS if n in lists), None)
    if not isinstance(root, list) or not all(isinstance(row, dict) for row in cast("list[Any]", root)):
        return None
    return [flat(row) for row in cast("list[Row]", root)]


def _lists(held: Row) -> dict[str, list[Row]]:
    """Lists of objects by their key."""
    return {
        name: value
        for name, value in held.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in cast("list[Any]", value))
    }


def once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object that holds no name twice; which of two values is meant cannot be known.

    Raises:
        ValueError: One does.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands twice in one object")
    return found


def _of_split(held: Row) -> list[Row] | None:
    """Rows of {"columns": [...], "data": [[...], ...]}, as W&B saves tables and pandas "split" ones."""
    names, data = held.get("columns"), held.get("data")
    if not (isinstance(names, list) and isinstance(data, list) and data):
        return None
    cells, columns = cast("list[Any]", data), [str(name) for name in cast("list[Any]", names)]
    if not all(isinstance(row, list) and len(cast("list[Any]", row)) == len(columns) for row in cells):
        return None
    return [flat(dict(zip(columns, row, strict=True))) for row in cells]


def _of_columns(held: Row) -> list[Row] | None:
    """Rows of {"question": {"0": ...}, ...} or {"question": [...], ...}."""
    columns = {name: list(c.values()) if isinstance(c, dict) else list(c) for name, c in held.items()}
    if len({len(column) for column in columns.values()}) != 1:
        return None
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _parquet(path: Path) -> Iterator[Row]:
    from misdirection.artefacts import read_rows

    try:
        rows = read_rows(path)
    except MisdirectionError as error:
        # The file is the user's own: to make it again is not for us to advise.
        raise MisdirectionError(error.message, "check that it was copied whole") from error
    return (flat(cast(Row, _texts(row, f"{path}: row {number}"))) for number, row in enumerate(rows, start=1))


def _texts(value: Any, where: str) -> Any:
    """A value with texts in place of the bytes that some writers of Parquet leave of them.

    Raises:
        MisdirectionError: Bytes are no text.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise MisdirectionError(f"{where}: bytes that are not UTF-8 text", "save the column as text") from error
    if isinstance(value, dict):
        return {name: _texts(held, where) for name, held in cast(Row, value).items()}
    return [_texts(held, where) for held in cast("list[Any]", value)] if isinstance(value, list) else value


def flat(row: Row) -> Row:
    """A row without mappings in it, and None for NaN."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": held for inner, held in flat(cast(Row, value)).items()}
        else:
            found[name] = None if isinstance(value, float) and math.isnan(value) else value
    return found


KINDS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
}
"""Readers of rows by ending."""
