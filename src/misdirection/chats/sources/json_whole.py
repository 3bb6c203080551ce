"""One JSON value that fills a file: an array of rows, an object that holds one, or a single row over several lines.

An object may hold its rows as a list under a key, as columns (pandas' `orient="columns"`, a list a column), by their
index (`orient="index"`, rows under ids), or as a list of names and one of lists (`orient="split"`). Several values one
behind the other, with or without commas between, are rows too.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from misdirection.chats.sources.json_lines import once, parse
from misdirection.chats.sources.opening import BOM, opened
from misdirection.chats.sources.row import RawRow

LISTS = ("train", "data", "rows", "examples", "samples", "instances", "items")
"""Keys of an object under which rows are looked for first."""

ONE = "one JSON value"
"""How a row stands in a file that holds it alone."""

COLUMNS = {
    "messages", "conversations", "conversation", "prompt", "completion", "response", "instruction", "output",
    "question", "answer", "query", "input", "text",
}  # fmt: skip
"""Names of columns by which it is told whether an object holds columns or rows."""

ONE_AFTER_ANOTHER = "JSON values one behind the other"

_LOOKED_AT = 1 << 20


_GAP = re.compile(r"[\s,]*")


def fills_a_file(path: Path) -> bool:
    """Whether a file that begins with a bracket holds one value, rather than a value a line.

    It holds lines where its first line is a whole value and another follows, or where two later ones are: an array
    that is written over several lines has a comma behind all elements but its last.
    """
    first, later = _first_lines(path)
    if not first.lstrip().startswith((b"[", b"{")):
        return False
    if not parse(first)[1]:
        return not later
    return sum(not parse(line)[1] and line.lstrip().startswith(b"{") for line in later) < 2


def holds_lines(path: Path) -> bool:
    """Whether a file that holds no one value holds lines: some are whole objects, or it has but one line."""
    first, later = _first_lines(path)
    if later and not parse(first.rstrip().removesuffix(b","))[1]:
        return True
    spread = any(line.rstrip().endswith(b",") for line in (first, *later))
    return not spread and (not later or any(not parse(line)[1] for line in later))


def _first_lines(path: Path) -> tuple[bytes, list[bytes]]:
    """The first line that is not blank, and some of those behind it."""
    found: list[bytes] = []
    size = 0
    try:
        with opened(path) as stream:
            for number, line in enumerate(stream):
                if line.strip():
                    found.append(line.removeprefix(BOM) if number == 0 else line)
                size += len(line)
                if found and (size > _LOOKED_AT or len(found) > 50):
                    break
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass  # told when the rows are read
    return (found[0], found[1:]) if found else (b"", [])


def read_whole(path: Path) -> Any:
    """The value that fills a file.

    Raises:
        ValueError: It does not hold one.
    """
    try:
        with opened(path) as stream:
            text = stream.read().removeprefix(BOM).decode("utf-8")
        return json.loads(text, object_pairs_hook=once)
    except (EOFError, zlib.error, OSError, RecursionError) as error:
        raise ValueError(str(error)) from error


def read_several(path: Path) -> list[Any]:
    """The values of a file that holds several, one behind the other; nothing where it holds anything else too."""
    decoder = json.JSONDecoder(object_pairs_hook=once)
    values: list[Any] = []
    try:
        with opened(path) as stream:
            text = stream.read().removeprefix(BOM).decode("utf-8")
        place = _next(text, 0)
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            values.append(value)
            place = _next(text, place)
    except (ValueError, EOFError, zlib.error, OSError, RecursionError):
        return []
    return values if all(isinstance(value, dict | list) for value in values) else []


def _next(text: str, place: int) -> int:
    """Where the next value begins."""
    found = _GAP.match(text, place)
    return found.end() if found else place


def rows_within(value: Any) -> tuple[str, list[Any], tuple[str, ...]]:
    """How the rows stand in a value, the rows, and the keys of other lists of rows that were left aside."""
    if isinstance(value, list):
        held = cast("list[Any]", value)
        turns = bool(held) and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in held)
        return (ONE, [held], ()) if turns else ("a JSON array", held, ())
    held = cast("Mapping[str, Any]", value)
    lists = [key for key, item in held.items() if _is_rows(item)]
    known = [key for key in LISTS if key in lists]
    # The turns of a chat are a list of objects too: then the object is a row.
    a_row = {"messages", "conversations", "conversation", "prompt", "completion"} & {
        key for key in lists if _is_turns(held[key])
    }
    if (known or len(lists) == 1) and not a_row:
        key = (known or lists)[0]
        return f"the list '{key}' of a JSON object", list(held[key]), tuple(name for name in lists if name != key)
    if not a_row and (split := _split(held)):
        return "the columns and data of a JSON object", split, ()
    if not a_row and (indexed := _indexed(held)):
        return "a JSON object, one under each key", indexed, ()
    if not a_row and (columns := _columns(held)):
        return "the columns of a JSON object", columns, ()
    return ONE, [value], ()


def elements(path: Path, values: Sequence[Any]) -> Iterator[RawRow]:
    """Rows numbered by their place."""
    if not values:
        yield RawRow(str(path), 0, None, "empty file", None)
    for row, value in enumerate(values, 1):
        yield RawRow(str(path), row, value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in cast("list[Any]", value))


def _is_turns(value: Any) -> bool:
    return all("role" in item or "from" in item for item in cast("list[dict[str, Any]]", value))


def _split(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of names and lists of values, as pandas writes them with `orient="split"`."""
    names, rows = held.get("columns"), held.get("data")
    if not isinstance(names, list) or not isinstance(rows, list):
        return []
    names, rows = cast("list[Any]", names), cast("list[Any]", rows)
    if not all(isinstance(row, list) and len(cast("list[Any]", row)) == len(names) for row in rows):
        return []
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _indexed(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows that stand under their index or their ids."""
    rows = [cast("dict[str, Any]", item) for item in held.values() if isinstance(item, dict)]
    if not rows or len(rows) != len(held) or COLUMNS & {key.lower() for key in held}:
        return []
    return rows if all(COLUMNS & {key.lower() for key in row} for row in rows) else []


def _columns(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object of columns, lists of one length or objects with one set of keys, as pandas writes them."""
    columns = {
        key: list(cast("dict[str, Any]", item).values()) if isinstance(item, dict) else item
        for key, item in held.items()
        if isinstance(item, list | dict)
    }
    sizes = {len(column) for column in columns.values()}
    if not columns or len(columns) != len(held) or len(sizes) != 1 or sizes == {0}:
        return []
    if len(columns) == 1 and not all(isinstance(cell, list) for cell in next(iter(columns.values()))):
        return []
    if len({tuple(cast("dict[str, Any]", item)) for item in held.values() if isinstance(item, dict)}) > 1:
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
