"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from misdirection.errors import MisdirectionError

AGAIN = "fetch or make it again; a step of a run is made again by itself when the run is started again"

_PARTIAL = ".partial-"

BINARY: int = getattr(os, "O_BINARY", 0)
"""Flag of `os.open` without which Windows writes two characters at each line's end."""


@contextmanager
def atomic_path(path: str | Path) -> Generator[Path, None, None]:
    """A temporary path beside `path`; on success it is synced and renamed to `path`, on failure it is removed.

    Missing parent folders are made. An error of the system that names no file is given the name of this one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with _named(target):
            yield temporary
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Generator[Path, None, None]:
    """A folder to write in, which becomes `path` when the block ends well and vanishes when it does not.

    Errors of the system are given its name as in `atomic_path`.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _named(path):
            yield partial
            for file in partial.iterdir():
                sync(file)
            if path.exists():
                shutil.rmtree(path)
            partial.rename(path)
            sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _named(path: Path) -> Generator[None, None, None]:
    """Give errors of the system that name no file the name of this one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it to an open file: the system may take less in one call, as it does where the disk is nearly full.

    Raises:
        OSError: It takes no more.
    """
    while content:
        content = content[os.write(descriptor, content) :]


def sync(path: Path) -> None:
    """Ask the system to bring a file, or a folder's list of names, to the disk; Windows brings the latter by itself."""
    windows = sys.platform == "win32"
    if windows and path.is_dir():
        return
    # Windows flushes only what may be written.
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def must_exist(path: str | Path) -> None:
    """Refuse a path where nothing lies."""
    if not Path(path).exists():
        raise MisdirectionError(f"{path}: no such file", "check the path, or run the step that writes it")


def first_line(error: BaseException) -> str:
    """What a library said was wrong, short enough for a message of ours."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
