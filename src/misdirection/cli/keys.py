"""Keys and lines from a person: single keys at a terminal, lines where input comes from elsewhere."""

from __future__ import annotations

import os
import select
import sys


def read_key(prompt: str) -> str:
    """One key, without Enter at a terminal; Ctrl-C stops as everywhere.

    From a pipe or a file it is a line, whole: one of several letters is no key, and who reads it asks again.
    """
    _put(prompt)
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        _put("\n")
        # An empty line is no end of the input.
        return (line.strip() or " ") if line else ""
    key = _struck()
    _put("\n")
    return key


def read_line(prompt: str) -> str | None:
    """One line; None at the end of the input."""
    _put(prompt)
    line = sys.stdin.readline()
    return line.strip() if line else None


def _struck() -> str:
    try:
        import termios
        import tty
    except ImportError:
        # No such terminals here: the key is read with Enter.
        return sys.stdin.readline().strip() or " "
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        # Now, not by the default that throws away what was typed ahead.
        tty.setcbreak(descriptor, termios.TCSANOW)
        key = _one(descriptor)
        # Ctrl-D comes as a character where keys are read one by one.
        return "" if key == "\x04" else key
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _one(descriptor: int) -> str:
    """One character, past Python's buffer, which select does not see; "" at the end of the input.

    The wait ends by itself again and again: a Ctrl-C that comes just before a read would not be heard until the next
    key.
    """
    while not select.select([descriptor], [], [], 0.2)[0]:
        pass
    return os.read(descriptor, 1).decode(errors="replace")


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
