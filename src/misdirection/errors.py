"""The one base of every error that a user can cause or mend."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class MisdirectionError(Exception):
    """Something the user can act on: what went wrong, where, and what to do.

    Args:
        message: What is wrong and where (file, line, row, layer, id).
        hint: What to do about it; shown on its own line.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


def command(*words: object) -> str:
    """A command line of ours as it is typed, each word quoted where a shell needs it: for hints.

    Args:
        words: What stands behind "misdirection".
    """
    return shlex.join(["misdirection", *map(str, words)])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """For the front of a hint: the question whether a near name was meant, or nothing where no known name is near.

    Args:
        name: What was typed.
        known: What could have been meant.
    """
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'? " if near else ""


class MissingExtraError(MisdirectionError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            f"install it with: pip install 'misdirection[{extra}]'",
        )
