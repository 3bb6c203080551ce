"""Judged answers made elsewhere, whatever file they stand in: one reader a kind of file, chosen by its ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.inspect_log import read_inspect_log
from misdirection.judging.table import load_table


class Reader(Protocol):
    """Reads a file: answers, and one verdict each, or None where the file holds answers only."""

    def __call__(
        self, path: str | Path, *, arm: str | None = None, domain: str | None = None, system: str | None = None
    ) -> tuple[list[Answer], list[Verdict] | None]:
        """The arguments stand for what the file does not say: the arm, the domain, the system prompt."""
        ...


READERS: Mapping[str, Reader] = {
    ".csv": load_table,
    ".jsonl": load_table,
    ".parquet": load_table,
    ".eval": read_inspect_log,
    ".json": read_inspect_log,
}
"""Readers by ending; a further kind of file is a further line here."""


def read_judged(
    path: str | Path, *, arm: str | None = None, domain: str | None = None, system: str | None = None
) -> tuple[list[Answer], list[Verdict] | None]:
    """Judged answers of a file, by its ending; arguments as in `Reader`.

    Raises:
        MisdirectionError: No reader for this ending, or the reader's own complaint.
    """
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise MisdirectionError(
            f"{path}: unknown kind of table '{Path(path).suffix}'", f"give one of {', '.join(READERS)}"
        )
    return reader(path, arm=arm, domain=domain, system=system)
