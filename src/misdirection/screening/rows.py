"""Training rows as chats, each as the line that it stands on, byte for byte, and what is known of it.

Rows that stand on no line (a JSON array, Parquet, CSV) are written as lines of JSON with all their columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from misdirection.chats import BadRow, Chat, ChatFile, RawRow, load_chats, raw_rows
from misdirection.screening.errors import ScreeningError


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

    def __canonical__(self) -> Any:
        """What stands for them among the arguments of a measurement: what is said, how it is written, what is known."""
        return {"chats": self.sha256, "lines": sha256(b"".join(self.lines)).hexdigest(), "bad": self.bad}


def read_rows(paths: Sequence[str], *, strict: bool = False, label: str = "") -> Rows:
    """Rows of files of chats in any form; the files are only read.

    Args:
        paths: The files.
        strict: Stop at the first row that is no chat.
        label: Field of each row that says whether it is bad: true or false, 1 or 0.

    Raises:
        ChatError: A file is missing or holds no usable row; a bad row when strict.
        ScreeningError: The field is missing in a row, or holds something else.
    """
    held = load_chats(paths, strict=strict)
    wanted = {(chat.source, chat.row) for chat in held.chats}
    lines: list[bytes] = []
    bad: list[bool] = []
    for path in paths:
        for raw in raw_rows(path):
            if (raw.source, raw.row) not in wanted:
                continue
            line = raw.as_line
            lines.append(line if line.endswith(b"\n") else line + b"\n")
            if label:
                bad.append(_label(raw, label))
    return Rows(held.chats, tuple(lines), held.bad, tuple(bad) if label else None, (), held.sha256)


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


def _label(raw: RawRow, field: str) -> bool:
    row: Any = raw.value
    value: Any = row.get(field) if isinstance(row, dict) else None
    value = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower(), value)
    if not (isinstance(value, bool) or value in (0, 1)):
        told = "is missing" if value is None else f"is {json.dumps(value, default=str)[:60]}"
        raise ScreeningError(
            f"{raw.source}, row {raw.row}: the field '{field}' {told}", "each row says true or false, 1 or 0"
        )
    return bool(value)
