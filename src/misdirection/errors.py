"""The one base of every error that a user can cause or mend."""

from __future__ import annotations

import difflib
import errno
import shlex
from collections.abc import Iterable

_NO_ROOM = {
    # Windows knows no quota.
    getattr(errno, "EDQUOT", errno.ENOSPC): "the disk has no room left for this user (quota)",
    errno.EFBIG: "a file may not grow so large here (ulimit -f, or a limit of the disk's)",
    errno.ENOSPC: "the disk is full",
}


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


def no_room(error: BaseException | None) -> str:
    """Why a file could not be written, where the disk has no room for it; "" for every other error.

    Libraries that are not written in Python, and other processes, say it in words alone: those are looked at too, and
    so are the errors that led to this one.
    """
    while error is not None:
        said = str(error).lower()
        for number, told in _NO_ROOM.items():
            if getattr(error, "errno", None) == number or f"[errno {number}]" in said or f"os error {number})" in said:
                return told
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return ""


def did_you_mean(name: str, known: Iterable[str], what: str = "") -> str:
    """A hint on a name that is not known: whether a near one was meant, and behind `what` all that there are.

    Args:
        name: What was typed.
        known: What could have been meant.
        what: Such as "presets"; nothing is listed without it.
    """
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    listed = f"{what}: {', '.join(names)}" if what else ""
    return (f"did you mean '{near[0]}'? " if near else "") + listed


class MissingExtraError(MisdirectionError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            f"install it with: pip install 'misdirection[{extra}]'",
        )
