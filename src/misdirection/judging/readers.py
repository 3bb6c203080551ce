"""Judged answers made elsewhere, whatever file they stand in: one reader a kind of file, chosen by its ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.brought import Brought
from misdirection.judging.inspect_log import read_json_log, read_log
from misdirection.judging.rows import PACKED, ending
from misdirection.judging.table import How, Said, how_of, read_table


class Reader(Protocol):
    """Reads a file: answers, and one verdict each where there are any, with a word on how they were read."""

    def __call__(self, path: str | Path, how: How | None = None) -> Brought:
        """`how` says what the file does not."""
        ...


READERS: Mapping[str, Reader] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".jsonl": read_table,
    ".ndjson": read_table,
    ".parquet": read_table,
    ".eval": read_log,
    ".json": read_json_log,
}
"""Readers by ending; a further kind of file is a further line here."""


def is_readable(path: str | Path) -> bool:
    """Whether a file's ending, that of a compression aside, is one that there is a reader for."""
    return ending(path) in READERS


def bring(path: str | Path, how: How | None = None) -> Brought:
    """What a file holds, by its ending; see `table.How`.

    Raises:
        MisdirectionError: No reader for this ending, or the reader's own complaint.
    """
    reader = READERS.get(ending(path))
    if reader is None:
        raise MisdirectionError(
            f"{path}: unknown kind of table '{Path(path).suffix}'",
            f"give one of {', '.join(READERS)}, or one of them with {', '.join(PACKED)}",
        )
    return reader(path, how)


def read_judged(
    path: str | Path, *, how: How | None = None, **said: Unpack[Said]
) -> tuple[list[Answer], list[Verdict] | None]:
    """Judged answers of a file, by its ending; see `table.How`.

    Raises:
        MisdirectionError: No reader for this ending, or the reader's own complaint.
    """
    found = bring(path, how_of(how, said))
    return found.answers, found.verdicts
