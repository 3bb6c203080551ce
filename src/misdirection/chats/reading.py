"""Files of chats, streamed or whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from misdirection.chats.chat import BadRow, Chat, ChatError, ChatFile
from misdirection.chats.forms import EXPECTED, apart, read_row
from misdirection.chats.sources import READ, RawRow, Source, open_source
from misdirection.chats.turns import RowError
from misdirection.chats.writing import chats_hash


@dataclass
class _Tally:
    """How the rows of files were read: forms and where they stood, columns passed over."""

    forms: Counter[str] = field(default_factory=Counter[str])
    passed_over: Counter[str] = field(default_factory=Counter[str])
    told: Counter[str] = field(default_factory=Counter[str])
    notes: list[str] = field(default_factory=list[str])

    @property
    def form(self) -> str:
        """In words, the commonest first, with their counts where there are several."""
        if len(self.forms) < 2:
            return next(iter(self.forms), "")
        return ", ".join(f"{form} ({count:,})" for form, count in self.forms.most_common())


def read_chats(path: str | Path, *, strict: bool = False, bad: list[BadRow] | None = None) -> Iterator[Chat]:
    """Stream the chats of a file, a folder or a data set of the hub, in any form (`chats.sources`, `chats.forms`).

    Args:
        path: What is read; content decides what it is, not the name.
        strict: Stop at the first bad row.
        bad: Bad rows are appended here; without it (and not strict) they are only skipped.

    Raises:
        ChatError: There is no such file, or it is none that is read, at once; a bad row when strict, while streaming.
    """
    return _stream(open_source(path), strict, [] if bad is None else bad, _Tally())


def raw_rows(path: str | Path) -> Iterator[RawRow]:
    """Stream the rows as they stand, usable or not; `row` is that of the chats.

    Raises:
        ChatError: There is no such file, or it is none that is read.
    """
    return open_source(path).rows


def load_chats(paths: str | Path | Sequence[str | Path], *, strict: bool = False) -> ChatFile:
    """Read whole files of chats.

    Raises:
        ChatError: A file is missing or holds no usable row; a bad row when strict.
    """
    chats: list[Chat] = []
    bad: list[BadRow] = []
    tally = _Tally()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        before, bad_before = len(chats), len(bad)
        source = open_source(path)
        tally.notes += source.notes
        chats.extend(_stream(source, strict, bad, tally))
        if len(chats) == before:
            raise _unusable(path, bad[bad_before:])
    if not chats:
        raise ChatError("no chat file was given")
    over = tuple(sorted(tally.passed_over, key=lambda name: (-tally.passed_over[name], name)))
    told = [f"{text} ({count:,} rows)" for text, count in sorted(tally.told.items())]
    return ChatFile(tuple(chats), tuple(bad), chats_hash(chats), tally.form, over, (*tally.notes, *told))


def _stream(source: Source, strict: bool, bad: list[BadRow], tally: _Tally) -> Iterator[Chat]:
    for raw in source.rows:
        # A row with a problem holds no value.
        for value in apart(raw.value):
            try:
                if raw.problem:
                    raise RowError(raw.problem)
                read = read_row(value)
            except RowError as error:
                found = BadRow(raw.source, raw.row, str(error), raw.text)
                if strict:
                    raise ChatError(str(found), "mend the row, or leave strict off to set bad rows aside") from error
                bad.append(found)
                continue
            tally.forms[read.form if source.kind == "JSON lines" else f"{read.form} in {source.kind}"] += 1
            tally.passed_over.update(read.passed_over)
            tally.told.update(read.told)
            yield Chat(read.messages, raw.source, raw.row)


def _unusable(path: str | Path, bad: Sequence[BadRow]) -> ChatError:
    first = {row.kind: row for row in reversed(bad)}
    shown = "; ".join(f"row {row.row}: {row.reason}" for row in sorted(first.values(), key=lambda row: row.row)[:3])
    hint = f"{EXPECTED}; files are {READ}"
    return ChatError(f"the chat file {path} holds no usable row ({len(bad):,} bad; {shown})", hint)
