"""Progress of anything long, silent in the library and shown by the command line.

Library code wraps a loop in `task` and anything else that may last in `phase`; nothing is shown until a front end calls
`enable`. From then on a thread looks twice a second at the innermost of them: on a terminal its line is redrawn in
place, elsewhere it is written whenever nothing was for `EVERY` seconds, so that a log tells what goes on.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

DELAY = 2.0
"""Seconds before anything is drawn on a terminal, and that a task must have lasted for a line at its end."""

EVERY = 10.0
"""Seconds of silence after which a line is written where there is no terminal."""

REDRAW = 0.5
"""Seconds between two looks of the thread."""

APART = 0.5
"""Seconds between two points of the forecast."""

SETTLED = 1.0
"""Seconds that the points must span before they tell a rate: what many ask for at once comes at once, too."""

Outlook = Callable[[], tuple[float, str]]
"""Gives the work that is still expected and a note on where it stands, for tasks whose end is only guessed at."""

_lock = threading.RLock()
_screen: _Screen | None = None
_phases: list[_Phase] = []
_said: set[str] = set()


def enable(stream: TextIO | None = None, name: str = "") -> None:
    """Show progress from now on, until `disable`.

    Args:
        stream: Where; standard error by default.
        name: What is told where nothing more is known, such as the command's name.
    """
    global _screen
    disable()
    with _lock:
        _said.clear()
        _screen = _Screen(stream or sys.stderr, _Phase(name) if name else None)
        _screen.start()


def disable() -> None:
    """Show nothing from now on; no thread is left."""
    global _screen
    with _lock:
        screen, _screen = _screen, None
    if screen is not None:
        screen.end()


def idle() -> None:
    """Tell of phases alone from now on: the command waits for others, as a server does, or for a person at the keys."""
    with _lock:
        if _screen is not None:
            _screen.base = None


def name() -> str:
    """What `enable` was told; empty while progress is off."""
    return _screen.base.description if _screen is not None and _screen.base is not None else ""


def enabled() -> bool:
    """Whether anything is shown."""
    return _screen is not None


def say(text: str, *, once: bool = False) -> None:
    """One line for the reader of the progress stream, nothing when progress is off.

    Args:
        text: The line.
        once: Leave it out where the same was said since progress was switched on.
    """
    with _lock:
        if _screen is None or (once and text in _said):
            return
        _said.add(text)
        _screen.write(text)


@contextmanager
def phase(description: str, bars: bool = False) -> Generator[None]:
    """Say what is going on while the block lasts, where that is long.

    Args:
        description: Such as "loading ./base".
        bars: Others draw bars on the terminal meanwhile (downloads), so this is not drawn there.
    """
    with _entered(_Phase(description, bars=bars)):
        yield


def told(verb: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make every call of a function a `phase`: the verb, and what the call is given first, a path or the id of one.

    What does not lie here is fetched, and others draw bars for that.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            first = str(args[0] if args else next(iter(kwargs.values()), ""))
            short = first if len(first) <= 50 else f"...{first[-47:]}"
            with phase(f"{verb} {short}", not Path(first).exists()):
                return function(*args, **kwargs)

        return inner

    return decorate


@contextmanager
def task(
    description: str, total: float, unit: str = "it", *, work: float = 0, work_unit: str = ""
) -> Generator[Callable[..., None]]:
    """Report a task of `total` units.

    Args:
        description: What is done.
        total: Units, 0 where their number is not known.
        unit: Their name.
        work: What the units cost in all, where they are unequal: the forecast goes by it.
        work_unit: Name of what they cost, told in place of the units a second.

    Yields:
        `advance(n=1, note="", work=None, outlook=None)`: n more units are done, which cost `work` (else n); `note`
        stands at the end of the line (a loss, a rate); `outlook` is an `Outlook`.
    """
    item = _Phase(description, total, unit, work=work, work_unit=work_unit)
    with _entered(item):
        try:
            yield item.advance
        finally:
            with _lock:
                now = time.monotonic()
                if _screen is not None and now - item.start >= DELAY:
                    _screen.write(item.line(now, over=True))


@contextmanager
def _entered(item: _Phase) -> Generator[None]:
    with _lock:
        _phases.append(item)
    try:
        yield
    finally:
        with _lock:
            _phases.remove(item)
            if _screen is not None:
                _screen.clear()


class _Screen:
    """Where progress is shown, and the thread that looks after it."""

    def __init__(self, stream: TextIO, base: _Phase | None) -> None:
        self.stream, self.base = stream, base
        self.terminal = stream.isatty()
        self.written = time.monotonic()
        self._drawn = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="misdirection-progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.clear()

    def write(self, text: str) -> None:
        """One whole line."""
        self.clear()
        self._put(text + "\n")
        self.written = time.monotonic()

    def clear(self) -> None:
        """Take away the line that is redrawn."""
        if self._drawn:
            self._put("\r\x1b[K")
            self._drawn = False

    def look(self, now: float) -> None:
        """Show the innermost phase, where it is time to."""
        item = _phases[-1] if _phases else self.base
        if item is None:
            return
        if not self.terminal:
            if now - self.written >= EVERY:
                self.write(item.line(now))
        elif item is not self.base and not item.bars and now - item.start >= DELAY:
            self._put("\r\x1b[K" + item.line(now)[: self._columns() - 1])
            self._drawn = True

    def _watch(self) -> None:
        while not self._over.wait(REDRAW):
            with _lock:
                if not self._over.is_set():
                    self.look(time.monotonic())

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns

    def _put(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any longer, which is no reason to stop the work.
            self._over.set()


class _Phase:
    """Something that goes on: with units that are counted, or without."""

    def __init__(
        self,
        description: str,
        total: float = 0,
        unit: str = "",
        *,
        work: float = 0,
        work_unit: str = "",
        bars: bool = False,
    ) -> None:
        self.description, self.total, self.unit, self.bars = description, total, unit, bars
        self.work_unit, self.done, self.note, self.now = work_unit, 0.0, "", ""
        self.ahead = work or total
        self.start = time.monotonic()
        self._marks: list[tuple[float, float]] = []
        self._seen = 0.0

    def advance(self, n: float = 1, note: str = "", work: float | None = None, outlook: Outlook | None = None) -> None:
        if _screen is None:
            return
        now = time.monotonic()
        with _lock:
            self.done += n
            self.note = note or self.note
            spent = n if work is None else work
            self.ahead -= spent
            self._mark(now, (self._marks[-1][1] if self._marks else 0.0) + spent)
        if outlook is not None and now - self._seen >= APART:
            ahead, told = outlook()
            with _lock:
                self._seen, self.ahead, self.now = now, ahead, told

    def _mark(self, now: float, work: float) -> None:
        # The first advance bears what is done but once (buffers, kernels, prompts), and only sets the clock.
        if len(self._marks) > 2 and now - self._marks[-2][0] < APART:
            self._marks[-1] = (now, work)
        else:
            self._marks.append((now, work))
        if len(self._marks) > 128:
            self._marks = [self._marks[0], *self._marks[2::2]]

    def rate(self) -> float:
        """Work a second over the later half of what was done after the first advance; 0 where that tells nothing."""
        if len(self._marks) < 2:
            return 0.0
        (first, _), (last, work) = self._marks[0], self._marks[-1]
        if last - first < SETTLED:
            return 0.0
        begin, before = next(mark for mark in reversed(self._marks[:-1]) if mark[0] <= (first + last) / 2)
        return (work - before) / (last - begin) if last > begin else 0.0

    def left(self, now: float) -> float | None:
        """Seconds that are left by what was done so far, None where that tells nothing."""
        rate = self.rate()
        if not self.total or self.done >= self.total or not rate:
            return None
        seconds = self.ahead / rate - (now - self._marks[-1][0])
        return seconds if seconds >= 1 else None

    def line(self, now: float, over: bool = False) -> str:
        """What is going on and how far it is."""
        path = [*(item.description for item in _phases[: _place(self)]), self.description]
        spent = now - self.start
        if not self.unit:
            return f"  {': '.join(path)}: {_clock(spent)} so far"
        share = f"{self.done:,.0f}/{self.total:,.0f}" if self.total and self.done != self.total else f"{self.done:,.0f}"
        unit = self.work_unit or self.unit
        rate = self.rate() if not over else self._marks[-1][1] / spent if self._marks and spent else 0.0
        parts = [f"{share} {self.unit}" + (f" in {_clock(spent)}" if over else "")]
        parts += [_speed(rate, unit)] if rate else []
        parts += [] if over else [f"{_clock(spent)} spent"]
        if not over and (left := self.left(now)) is not None:
            parts.append(f"about {_clock(left)} left")
        parts += [note for note in (self.note, "" if over else self.now) if note]
        return f"  {': '.join(path)}: {', '.join(parts)}"


def _place(item: _Phase) -> int:
    return _phases.index(item) if item in _phases else 0


def _speed(rate: float, unit: str) -> str:
    if rate < 1:
        return f"{60 * rate:.1f} {unit}/min"
    return f"{rate:,.{0 if rate >= 100 else 1}f} {unit}/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _in_child() -> None:
    """A forked process has no thread, and its parent tells of the work."""
    global _screen, _lock
    _lock, _screen = threading.RLock(), None
    _phases.clear()


atexit.register(disable)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
