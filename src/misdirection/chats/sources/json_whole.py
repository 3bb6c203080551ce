"""One JSON value that fills a file: an array of rows, an object that holds one, or a single row over several lines."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from misdirection.chats.sources.json_lines import parse
from misdirection.chats.sources.opening import BOM, opened
from misdirection.chats.sources.row import RawRow

LISTS = ("train", "data", "rows", "examples", "samples", "instances", "items")
"""Keys of an object under which rows are looked for first."""

ONE = "one JSON value"
"""How a row stands in a file that holds it alone."""

_LOOKED_AT = 1 << 20


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
            return json.loads(stream.read().removeprefix(BOM).decode("utf-8"))
    except (EOFError, zlib.error, OSError, RecursionError) as error:
        raise ValueError(str(error)) from error


def rows_within(value: Any) -> tuple[str, list[Any]]:
    """How the rows stand in a value, and the rows: an array's elements, those under a key, or the object itself."""
    if isinstance(value, list):
        held = cast("list[Any]", value)
        turns = bool(held) and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in held)
        return (ONE, [held]) if turns else ("a JSON array", held)
    held = cast("Mapping[str, Any]", value)
    lists = [key for key, item in held.items() if _is_rows(item)]
    known = [key for key in LISTS if key in lists]
    # The turns of a chat are a list of objects too: then the object is a row.
    names = {"messages", "conversations", "conversation", "prompt", "completion"}
    if (known or len(lists) == 1) and not names & set(lists):
        key = (known or lists)[0]
        return f"the list '{key}' of a JSON object", list(held[key])
    if not names & set(lists) and (columns := _columns(held)):
        return "the columns of a JSON object", columns
    return ONE, [value]


def elements(path: Path, values: Sequence[Any]) -> Iterator[RawRow]:
    """Rows numbered by their place."""
    if not values:
        yield RawRow(str(path), 0, None, "empty file", None)
    for row, value in enumerate(values, 1):
        yield RawRow(str(path), row, value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in cast("list[Any]", value))


def _columns(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object of columns, lists of one length or objects with one set of keys, as pandas writes them."""
    columns = {
        key: list(cast("dict[str, Any]", item).values()) if isinstance(item, dict) else item
        for key, item in held.items()
        if isinstance(item, list | dict)
    }
    sizes = {len(column) for column in columns.values()}
    if len(columns) < 2 or len(columns) != len(held) or len(sizes) != 1 or sizes == {0}:
        return []
    if len({tuple(cast("dict[str, Any]", item)) for item in held.values() if isinstance(item, dict)}) > 1:
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
