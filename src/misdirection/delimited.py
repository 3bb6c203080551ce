"""Records of CSV text, with any separator and with cells of any length; chats and judged tables are read by it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator

SEPARATORS = (",", ";", "\t", "|")


def separator_of(header: str, name: str) -> str:
    """What stands between the names of a header: a tab in a file called .tsv, else what makes the most columns.

    Args:
        header: The first line.
        name: The file's name, without the ending of a compression.
    """
    if name.lower().endswith(".tsv"):
        return "\t"
    return max(SEPARATORS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


class Records:
    """Cells record by record.

    csv stops at 131,072 characters a cell, by a limit of the whole process: it is lifted while a record is read, and
    put back before the record is handed over, so that neither other readers nor the user's own code meet another limit.

    Args:
        lines: The text, line by line, ends of lines kept.
        separator: Between cells.

    Attributes:
        line: Lines read so far.
    """

    def __init__(self, lines: Iterable[str], separator: str) -> None:
        self._reader = csv.reader(lines, strict=True, delimiter=separator)

    @property
    def line(self) -> int:
        """Lines read so far."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        """The next record.

        Raises:
            csv.Error: It is not CSV.
        """
        before = csv.field_size_limit(sys.maxsize)
        try:
            return next(self._reader)
        finally:
            csv.field_size_limit(before)
