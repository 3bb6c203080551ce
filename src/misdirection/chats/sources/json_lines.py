"""JSON lines: one value a line. Blank lines are no rows; a broken line is a problem of that row alone."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from misdirection.chats.chat import ChatError
from misdirection.chats.sources.opening import BOM, opened
from misdirection.chats.sources.row import RawRow


def lines(path: Path) -> Iterator[RawRow]:
    """The rows of a file, streamed.

    Raises:
        ChatError: The file cannot be read.
    """
    for row, line, problem in _lines(path):
        value, wrong = (None, problem) if problem else parse(line)
        if wrong and line.rstrip().endswith(b","):  # an array's rows without its brackets
            value, wrong = parse(line.rstrip()[:-1])
        yield RawRow(str(path), row, value, wrong, line)


class TwiceError(ValueError):
    """A key stands twice in one object: which of the two is meant cannot be known."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of its pairs, for `json.loads`.

    Raises:
        TwiceError: A key stands twice.
    """
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        raise TwiceError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return held


def parse(line: bytes) -> tuple[Any, str]:
    """The value of a line, or None and what is wrong with it."""
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=once), ""
    except TwiceError as error:
        return None, f"key twice: {error}"
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}"
    except json.JSONDecodeError as error:
        return None, f"broken JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError) as error:
        return None, f"broken JSON: {error}"


def _lines(path: Path) -> Iterator[tuple[int, bytes, str]]:
    """Row number, bytes and, where the stream itself is at fault, the problem; blank lines are left out."""
    row, rows = 0, 0
    try:
        with opened(path) as stream:
            # Bytes, not text: one line in another encoding must not end the stream.
            for row, line in enumerate(stream, 1):
                if line.strip():
                    rows += 1
                    yield row, line.removeprefix(BOM) if row == 1 else line, ""
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield row + 1, b"", f"damaged gzip: whatever stood from here on is lost ({error})"
        return
    except OSError as error:
        raise ChatError(f"the chat file {path} cannot be read: {error.strerror or error}") from error
    if not rows:
        yield 0, b"", "empty file"
