"""Ctrl-C and SIGTERM: the work ends in order, and one line says what is kept and how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_folder: list[Path] = []


class Stopped(SystemExit):
    """The user, or the machine, wants the command to end; the exit code is a shell's, 128 and the signal."""


@contextmanager
def stoppable() -> Generator[None]:
    """Raise `Stopped` at a signal that would end the process, so that all that was begun is left as it should be.

    A signal that is ignored (as under nohup) stays so.
    """
    ours = threading.current_thread() is threading.main_thread()
    plain = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in SIGNALS} if ours else {}
    taken = {number: handler for number, handler in before.items() if handler in plain}
    _folder.clear()
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(128 + number)


def works_in(folder: str | Path | None) -> None:
    """Remember the folder that the command works in."""
    _folder[:] = [Path(folder)] if folder is not None else []


def written_to(error: BaseException) -> str:
    """Where an error says that it was writing, behind ": "; the folder that is worked in where it names no file."""
    named = getattr(error, "filename", None) or (_folder[0] if _folder else "")
    return f": {named} cannot be written" if named else ""


def what_is_kept(command: str, why: str = "stopped") -> str:
    """What a command leaves that has ended before its time, in one line.

    Args:
        command: The command line, which goes on where it was.
        why: What the line begins with.
    """
    folder = _folder[0] if _folder else None
    kept = _kept(folder) if folder is not None and folder.is_dir() else ""
    if folder is None:
        return f"{why}; the same command begins again: {command}"
    if not kept:
        return f"{why}; nothing was finished yet, and the same command begins again: {command}"
    return f"{why}; {folder} keeps {kept}, and the same command goes on from there: {command}"


def _kept(folder: Path) -> str:
    """What a run's folder, or a fine-tune's, holds; empty where that is nothing."""
    from misdirection.runs import list_steps

    if not (folder / "run.json").exists():
        states = sorted(int(place.name.rpartition("-")[2]) for place in folder.glob("resume/step-*"))
        return f"the state of step {states[-1]}" if states else ""
    names = [step.name for step in list_steps(folder)]
    begun = any(path.is_file() for path in (folder / "work").rglob("*"))
    told = f"what is finished ({', '.join(names)})" if names else ""
    return " and ".join([*([told] if told else []), *(["what was begun"] if begun else [])])
