"""Readings as they come, one JSON line each, so that a kill loses at most those that were being made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from misdirection.artefacts import BINARY, write_all
from misdirection.judging.scoring import OUTCOMES, VERSION, Reading

REREAD = ("parsed", "unreadable")
"""Outcomes that hang on how a written reply is read; those of an older reading are passed over."""


class Journal:
    """An append-only file of readings by key, held open while it is written to.

    A line is written in one system call and cut short by nothing but a dying machine; a line that is not whole, at the
    end or anywhere else, is passed over when the file is read, and its reading is asked for again.

    Args:
        path: The file; it and its folder are made when the first reading is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> dict[str, Reading]:
        """The readings that the file holds whole, by key."""
        if not self.path.exists():
            return {}
        lines = self.path.read_bytes().split(b"\n")[:-1]
        return dict(entry for line in lines if (entry := _entry(line)) is not None)

    def add(self, key: str, reading: Reading) -> None:
        """Append one reading."""
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and _last(self._descriptor, size) != b"\n":
                write_all(self._descriptor, b"\n")
        row: dict[str, Any] = {"key": key, "outcome": reading.outcome, "score": reading.score, "mass": reading.mass}
        row |= {} if reading.text is None else {"text": reading.text}
        row |= {"asked": reading.asked} if reading.asked else {}
        # How a written number was read is part of what is kept: by the first rule any number in prose was a score.
        row |= {"reading": VERSION} if reading.outcome in REREAD else {}
        write_all(self._descriptor, json.dumps(row).encode() + b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring the file to the disk and let go of it."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def _last(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _entry(line: bytes) -> tuple[str, Reading] | None:
    try:
        row: Any = json.loads(line)
        key, outcome, numbers, text = row["key"], row["outcome"], (row["score"], row["mass"]), row.get("text")
        asked, version = row.get("asked", ""), row.get("reading", 1)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    right = outcome in OUTCOMES and all(number is None or isinstance(number, float | int) for number in numbers)
    right = right and isinstance(text, str | None) and isinstance(asked, str)
    known = outcome not in REREAD or version == VERSION
    return (str(key), Reading(outcome, *numbers, text, asked)) if right and known else None
