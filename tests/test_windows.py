"""The branches for Windows, forced: its locks, a disk that flushes only what may be written, links that cannot be made.

There is no Windows here. `msvcrt` is stood in for by one that holds a byte range as the real one does, and what Windows
lacks or refuses (pread, pwrite, flushing a folder or a file opened for reading, links without a privilege) is taken
away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from misdirection import published
from misdirection.artefacts import read_json, read_rows, write_json, write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import journal
from misdirection.judging.scoring import Reading
from misdirection.locks import Lock
from misdirection.runs import Run


def locking(descriptor: int, mode: int, size: int) -> None:
    """As msvcrt.locking: the bytes from where the file stands, mandatory there, refused when somebody has them."""
    assert mode == 2
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, os.lseek(descriptor, 0, os.SEEK_CUR))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[int, int] = {}
    real_open, real_fsync = os.open, os.fsync

    def open_there(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        descriptor = real_open(path, flags, *rest, **named)
        opened[descriptor] = flags
        return descriptor

    def fsync_there(descriptor: int) -> None:
        if not opened.get(descriptor, os.O_RDWR) & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_fsync(descriptor)

    def no_links(*_: Any, **__: Any) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(os, "open", open_there)
    monkeypatch.setattr(os, "fsync", fsync_there)
    monkeypatch.delattr(os, "pread")
    monkeypatch.delattr(os, "pwrite")
    monkeypatch.delattr(os, "register_at_fork")
    monkeypatch.setattr(Path, "symlink_to", no_links)
    monkeypatch.setattr(shutil, "_use_fd_functions", False)


@pytest.mark.usefixtures("windows")
def test_a_run_is_written_and_read_again(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        write_json(folder / "facts.json", {"a": 1})
        write_rows(folder / "rows.parquet", [{"x": 1}, {"x": 2}])

    for reused in (False, True):
        with Run.open(tmp_path / "run", {}) as run:
            step = run.step("made", {"of": 1}, make)
            assert step.reused is reused
            run.publish("facts.json", step.path / "facts.json")
    assert read_json(tmp_path / "run" / "facts.json") == {"a": 1}
    assert not (tmp_path / "run" / "facts.json").is_symlink()
    assert read_rows(step.path / "rows.parquet") == [{"x": 1}, {"x": 2}]


@pytest.mark.usefixtures("windows")
def test_a_second_writer_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    held = Lock.take(tmp_path / ".lock")
    other = (
        "import fcntl, os, sys\n"
        f"d = os.open({str(tmp_path / '.lock')!r}, os.O_RDWR)\n"
        "try:\n    fcntl.lockf(d, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 << 30)\n"
        "except OSError:\n    sys.exit('held: ' + os.read(d, 100).decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert f'held: {{"pid": {os.getpid()}' in done.stderr
    with pytest.raises(MisdirectionError, match="being written by another run"):
        Lock.take(tmp_path / ".lock")
    held.release()
    Lock.take(tmp_path / ".lock").release()


@pytest.mark.usefixtures("windows")
def test_a_lock_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text('{"pid": 7, "host": "desk"}')
    holder = (
        "import fcntl, os, sys\n"
        f"d = os.open({str(path)!r}, os.O_RDWR)\n"
        "fcntl.lockf(d, fcntl.LOCK_EX, 1, 1 << 30)\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with pytest.raises(MisdirectionError, match="process 7 on desk"):
            Lock.take(path)
        process.communicate("")
    Lock.take(path).release()


@pytest.mark.usefixtures("windows")
def test_verdicts_are_kept_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b'{"cut": ')
    with journal.Journal(file) as kept:
        kept.add("a", Reading("score", 30.0))
    lines = file.read_bytes().split(b"\n")
    assert lines[0] == b'{"cut": ' and b'"key": "a"' in lines[1] and lines[2] == b""


@pytest.mark.usefixtures("windows")
def test_a_name_is_a_copy_that_follows_what_it_stands_for(tmp_path: Path) -> None:
    for text in ("one", "two"):
        target = tmp_path / "steps" / text
        target.mkdir(parents=True)
        (target / "file").write_text(text)
        published.put(tmp_path / "name", target)
        assert (tmp_path / "name" / "file").read_text() == text
