"""Progress of anything long, silent in the library and shown by the command line.

Library code wraps a loop in `task`; nothing is shown until a front end calls `enable`, and then only for tasks that
outlast `DELAY` seconds. On a terminal the line is redrawn in place; elsewhere a line is written every `EVERY` seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO

DELAY = 2.0
EVERY = 10.0

_stream: TextIO | None = None
_said: set[str] = set()


def enable(stream: TextIO | None = None) -> None:
    """Show progress from now on, on `stream` (standard error by default)."""
    global _stream
    _stream = stream or sys.stderr
    _said.clear()


def disable() -> None:
    """Show nothing from now on."""
    global _stream
    _stream = None


def say(text: str, *, once: bool = False) -> None:
    """One line for the reader of the progress stream, nothing when progress is off.

    Args:
        text: The line.
        once: Leave it out where the same was said since progress was switched on.
    """
    if once and text in _said:
        return
    if _stream is not None:
        _said.add(text)
        _stream.write(text + "\n")
        _stream.flush()


@contextmanager
def task(description: str, total: float, unit: str = "it") -> Generator[Callable[..., None]]:
    """Report a task of `total` units.

    Yields:
        `advance(n=1, note="")`: n more units are done; `note` stands at the end of the line (a loss, a rate).
    """
    line = _Line(description, total, unit)
    try:
        yield line.advance
    finally:
        line.close()


class _Line:
    def __init__(self, description: str, total: float, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self.told = 0.0, -1.0
        self.note = ""
        self.start = self.shown = time.monotonic()

    def advance(self, n: float = 1, note: str = "") -> None:
        self.done += n
        self.note = note or self.note
        now = time.monotonic()
        if _stream is None or now - self.start < DELAY:
            return
        if now - self.shown >= (0.2 if _stream.isatty() else EVERY):
            self.shown = now
            self._write(now, "\r\x1b[K" if _stream.isatty() else "", "" if _stream.isatty() else "\n")

    def close(self) -> None:
        now = time.monotonic()
        told = not _stream.isatty() and self.told == self.done if _stream is not None else True
        if _stream is not None and now - self.start >= DELAY and not told:
            self._write(now, "\r\x1b[K" if _stream.isatty() else "", "\n")

    def _write(self, now: float, before: str, after: str) -> None:
        assert _stream is not None
        self.told = self.done
        spent = now - self.start
        rate = self.done / spent if spent > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        share = f"{self.done:,.0f}/{self.total:,.0f} {self.unit}" if self.total else f"{self.done:,.0f} {self.unit}"
        times = f"{_clock(spent)} spent" + (f", {_clock(left)} left" if self.total and self.done < self.total else "")
        _stream.write(f"{before}  {self.description}: {share}, {rate:,.1f} {self.unit}/s, {times} {self.note}{after}")
        _stream.flush()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
