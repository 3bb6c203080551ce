"""One writer at a time for a folder."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from misdirection.errors import MisdirectionError

_held: set[Path] = set()
_FAR = 1 << 30


@dataclass
class Lock:
    """A held lock file. The system lets go of it when its process ends, however that ends.

    The lock is a record lock of POSIX, which a forked worker does not inherit (one that outlives its killed parent
    blocks nobody), and on Windows one of its C library. The file holds the owner's process id for the reader of the
    error.
    """

    path: Path
    descriptor: int
    pid: int

    @classmethod
    def take(cls, path: Path) -> Lock:
        """Hold the lock file at `path`.

        Raises:
            MisdirectionError: Another process holds it, or this one does already.
        """
        path = path.resolve()
        # A second descriptor on the file would drop this process's lock when it is closed: look here first.
        if path in _held:
            raise _taken(path, os.getpid())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _try_lock(descriptor):
            owner = _owner(descriptor)
            os.close(descriptor)
            raise _taken(path, owner)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        _held.add(path)
        return cls(path, descriptor, os.getpid())

    @property
    def held(self) -> bool:
        """Whether this process holds it still; a forked child never does."""
        return self.descriptor >= 0 and self.pid == os.getpid()

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        if self.held:
            os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = -1
            _held.discard(self.path)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte far behind the text, which others can read: there, a lock keeps readers out as well.
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(descriptor: int) -> object:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        facts = json.loads(os.read(descriptor, 1000))
        return f"{facts['pid']} on {facts['host']}"
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _taken(path: Path, owner: object) -> MisdirectionError:
    return MisdirectionError(
        f"{path.parent} is being written by another run (process {owner})",
        "wait for it or end it, or give another folder; a killed process holds nothing",
    )
