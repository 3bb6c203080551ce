"""Where rows stand, told by content: the first bytes of a file, the facts of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.columnar import ARROW_FILE, ARROW_STREAM, PARQUET, arrow_rows, parquet_rows
from misdirection.chats.sources.delimited import has_a_header, is_delimited, records
from misdirection.chats.sources.folders import files_of
from misdirection.chats.sources.hub import hub_rows, is_hub_id
from misdirection.chats.sources.json_lines import lines
from misdirection.chats.sources.json_whole import (
    ONE,
    ONE_AFTER_ANOTHER,
    elements,
    fills_a_file,
    holds_lines,
    read_several,
    read_whole,
    rows_within,
)
from misdirection.chats.sources.opening import beginning, refuse_foreign
from misdirection.chats.sources.row import READ, RawRow, Source

__all__ = ["READ", "RawRow", "Source", "open_source"]


def open_source(spec: str | Path) -> Source:
    """The rows of a file, a folder or a data set of the hub; lines and tables are streamed.

    Raises:
        ChatError: There is no such file, or it is none that is read; a damaged one while streaming.
    """
    path = Path(spec)
    if path.is_dir():
        files, notes = files_of(path)
        parts = [_file(file) for file in files]
        kinds = list(dict.fromkeys(part.kind for part in parts))
        return Source(" and ".join(kinds), _joined(parts), files, (*notes, *(n for part in parts for n in part.notes)))
    if path.is_file():
        return _file(path)
    if path.exists():
        raise ChatError(f"the chat file {path} is no file", f"chats are read from {READ}")
    if isinstance(spec, str) and is_hub_id(spec):
        return hub_rows(spec)
    raise ChatError(f"the chat file {path} does not exist", f"chats are read from {READ}")


def _file(path: Path) -> Source:
    try:
        refuse_foreign(path, "chat file", ChatError)
        first = beginning(path)
        if first.startswith(PARQUET):
            return Source("Parquet", parquet_rows(path), (path,))
        if first.startswith((ARROW_FILE, ARROW_STREAM)):
            return Source("Arrow", arrow_rows(path), (path,))
        if not first.lstrip().startswith((b"{", b"[")) and (is_delimited(path) or has_a_header(path)):
            return Source("CSV", records(path), (path,))
        if fills_a_file(path):
            return _whole(path)
    except OSError as error:
        raise ChatError(f"the chat file {path} cannot be read: {error.strerror or error}") from error
    return Source("JSON lines", lines(path), (path,))


def _whole(path: Path) -> Source:
    try:
        kind, values, left = rows_within(read_whole(path))
    except ValueError as error:
        if several := read_several(path):
            return Source(ONE_AFTER_ANOTHER, elements(path, several), (path,))
        if holds_lines(path):  # each broken one then says what is wrong with it
            return Source("JSON lines", lines(path), (path,))
        raise ChatError(
            f"the chat file {path} is broken JSON: {error}", "mend it at or just before this place"
        ) from error
    if kind == ONE and holds_lines(path):
        return Source("JSON lines", lines(path), (path,))
    notes = (f"{path} without its {', '.join(repr(name) for name in left)}",) if left else ()
    return Source(kind, elements(path, values), (path,), notes)


def _joined(parts: Sequence[Source]) -> Iterator[RawRow]:
    for part in parts:
        yield from part.rows
