"""Training rows as chats, each with the line that it stands on, byte for byte, and what is known of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.chats import BadRow, Chat, ChatFile, load_chats
from misdirection.screening.errors import ScreeningError

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Rows:
    """The rows of one or more files.

    Attributes:
        chats: The usable rows, in order.
        lines: The bytes of each, with its line end.
        unusable: The rows that are no chats, with the reason; they can be neither scored nor trained on.
        bad: Which usable rows are known to be bad; None where nothing tells.
        kinds: What each row is called (of the organism's data); empty where nothing tells.
        sha256: Of the usable chats' roles and texts.
    """

    chats: tuple[Chat, ...]
    lines: tuple[bytes, ...]
    unusable: tuple[BadRow, ...]
    bad: tuple[bool, ...] | None
    kinds: tuple[str, ...]
    sha256: str


def read_rows(paths: Sequence[str], *, strict: bool = False, label: str = "") -> Rows:
    """Rows of JSON lines files, gzip or not; the files are only read.

    Args:
        paths: The files.
        strict: Stop at the first row that is no chat.
        label: Field of each row that says whether it is bad: true or false, 1 or 0.

    Raises:
        ChatError: A file is missing or holds no usable row; a bad row when strict.
        ScreeningError: The field is missing in a row, or holds something else.
    """
    held = load_chats(paths, strict=strict)
    texts: dict[str, dict[int, bytes]] = {str(Path(path)): {} for path in paths}
    for path, found in texts.items():
        wanted = {chat.row for chat in held.chats if chat.source == path}
        found |= {number: line for number, line in enumerate(_lines(Path(path)), 1) if number in wanted}
    lines = tuple(texts[chat.source][chat.row] for chat in held.chats)
    bad = tuple(_label(line, chat, label) for chat, line in zip(held.chats, lines, strict=True)) if label else None
    return Rows(held.chats, lines, held.bad, bad, (), held.sha256)


def rows_of(found: ChatFile, bad: Iterable[bool] | None, kinds: Iterable[str] = ()) -> Rows:
    """Chats that stand in no file (the organism's), each as the line that it would be written as."""
    lines = tuple(
        json.dumps({"messages": [{"role": m.role, "content": m.content} for m in chat.messages]}).encode() + b"\n"
        for chat in found.chats
    )
    return Rows(found.chats, lines, found.bad, None if bad is None else tuple(bad), tuple(kinds), found.sha256)


def write_lines(path: str | Path, lines: Iterable[bytes]) -> None:
    """Write lines as they are."""
    with Path(path).open("wb") as stream:
        stream.writelines(lines)


def _lines(path: Path) -> Iterable[bytes]:
    """Lines as they stand, but for a byte order mark at the start of the file, and with the last one ended."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as stream:
        try:
            for number, line in enumerate(stream):
                whole = line.removeprefix(BOM) if number == 0 else line
                yield whole if whole.endswith(b"\n") else whole + b"\n"
        except (EOFError, OSError):
            return  # a damaged end was told when the chats were read


def _label(line: bytes, chat: Chat, field: str) -> bool:
    row: Any = json.loads(line)
    value: Any = row.get(field)
    if not (isinstance(value, bool) or value in (0, 1)):
        told = "is missing" if field not in row else f"is {json.dumps(value)[:60]}"
        raise ScreeningError(
            f"{chat.source}, row {chat.row}: the field '{field}' {told}", "each row says true or false, 1 or 0"
        )
    return bool(value)
