"""What was read may have grown since, and nothing else: a file written anew is not gone on with by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from misdirection.chats.sources.folders import files_of
from misdirection.monitoring.errors import MonitorError

MOST = 1 << 20
"""Bytes of a file's beginning that it is known by."""


def marks(source: str | Path) -> list[dict[str, Any]]:
    """What each file of a source is known by: its name, its size, and its beginning by hash; [] where there is none.

    Args:
        source: A file or a folder of chats; standard input and data sets of the hub have no files.
    """
    path = Path(source)
    files = files_of(path)[0] if path.is_dir() else (path,) if path.is_file() else ()
    return [_mark(file, path) for file in files]


def demand_grown(before: Sequence[Mapping[str, Any]], source: str | Path) -> None:
    """Refuse a source that is not the one that was read, with more behind its end at most.

    Args:
        before: Its marks then.
        source: As it is now.

    Raises:
        MonitorError: A file is gone, stands elsewhere in the order, or begins otherwise; or another than the last of a
            folder has grown, so that rows would be counted from the wrong place.
    """
    path = Path(source)
    now = [] if not before else marks(source)
    for place, held in enumerate(before):
        last = place == len(before) - 1
        found = now[place] if place < len(now) else None
        if found is None or found["name"] != held["name"]:
            raise _changed(path, f"'{held['name']}' does not stand where it stood")
        file = path / held["name"] if path.is_dir() else path
        if found["bytes"] < held["bytes"] or _beginning(file, held["bytes"]) != held["beginning"]:
            raise _changed(file, "it was written anew")
        if found["bytes"] > held["bytes"] and not last:
            raise _changed(file, "it has grown, and files behind it were read")


def _mark(file: Path, source: Path) -> dict[str, Any]:
    size = file.stat().st_size
    name = file.relative_to(source).as_posix() if file != source else file.name
    return {"name": name, "bytes": size, "beginning": _beginning(file, size)}


def _beginning(file: Path, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.sha256(stream.read(min(size, MOST))).hexdigest()


def _changed(path: Path, what: str) -> MonitorError:
    return MonitorError(
        f"{path} is not what the folder holds scores of: {what}",
        "give another folder with --out, or remove this one, and all of it is read",
    )
