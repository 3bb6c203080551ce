"""The bytes of a file, unpacked where it is gzip, and what its first ones tell."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from misdirection.errors import MisdirectionError

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"

FOREIGN: dict[bytes, tuple[str, str]] = {
    b"version https://git-lfs": (
        "is a pointer of Git LFS, not the file itself",
        "fetch it with: git lfs pull",
    ),
    b"PK\x03\x04": ("is a zip archive", "unpack it, and name the file inside"),
    b"\x28\xb5\x2f\xfd": ("is packed with zstandard", "unpack it with: unzstd"),
    b"BZh": ("is packed with bzip2", "unpack it with: bunzip2"),
    b"\xfd7zXZ": ("is packed with xz", "unpack it with: unxz"),
    b"\x80\x02": ("is a pickle, which is never read: it could run anything", "save it as JSON lines or Parquet"),
    b"\x80\x03": ("is a pickle, which is never read: it could run anything", "save it as JSON lines or Parquet"),
    b"\x80\x04": ("is a pickle, which is never read: it could run anything", "save it as JSON lines or Parquet"),
    b"\x80\x05": ("is a pickle, which is never read: it could run anything", "save it as JSON lines or Parquet"),
    b"\xff\xfe": ("is text in UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("is text in UTF-16", "save it as UTF-8"),
    b"<!DOCTYPE": ("is a web page, not the file itself", "download the file behind the page"),
    b"<!doctype": ("is a web page, not the file itself", "download the file behind the page"),
    b"<html": ("is a web page, not the file itself", "download the file behind the page"),
    b"SQLite format 3": ("is a database of SQLite", "export the table as CSV"),
}
"""First bytes of files that hold no rows, with what they are and what to do."""

PLACEHOLDERS = (b"version https://git-lfs", b"<!DOCTYPE", b"<!doctype", b"<html")
"""Of those, what stands in the place of a file that was not fetched."""


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """The file's bytes; gzip is known by its first bytes, whatever the file is called."""
    with path.open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if magic == GZIP:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield raw


def beginning(path: Path, size: int = 64) -> bytes:
    """The first bytes, unpacked, without a byte order mark; fewer where the gzip is damaged."""
    try:
        with opened(path) as stream:
            return stream.read(size).removeprefix(BOM)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""


def refuse_foreign(path: Path, what: str, error: type[MisdirectionError], kinds: Collection[bytes] = FOREIGN) -> None:
    """Refuse files that hold nothing of what is read, by their first bytes.

    Args:
        path: The file.
        what: What it was given as, as "chat file".
        error: What to raise.
        kinds: The first bytes that are refused, of `FOREIGN`.

    Raises:
        MisdirectionError: It is such a file: what it is, and what to do.
    """
    first = beginning(path).lstrip()
    for magic, (told, hint) in FOREIGN.items():
        if magic in kinds and first.startswith(magic):
            raise error(f"the {what} {path} {told}", hint)
