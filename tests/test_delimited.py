"""Long cells and separators, for chats and judged tables alike; the process's limit stays as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from misdirection.chats.sources.delimited import records
from misdirection.delimited import Records, separator_of
from misdirection.judging.rows import read_table_rows

LONG = "x" * 200_000


@pytest.mark.parametrize(
    ("header", "name", "separator"),
    [("a,b", "t.csv", ","), ("a;b", "t.csv", ";"), ("a\tb,c,d", "t.tsv", "\t"), ("a|b|c", "t.csv", "|"),
     ('"one, two, three";b', "t.csv", ";"), ("alone", "t.csv", ",")],
)  # fmt: skip
def test_separators(header: str, name: str, separator: str) -> None:
    assert separator_of(header, name) == separator


def test_long_cells_are_read_and_the_limit_is_never_another_outside(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    text = f"question,answer\nq,{LONG}\nq,{LONG}\n"
    first, second = (Records(io.StringIO(text, newline=""), ",") for _ in range(2))
    # Two readers in turns, one of which ends before the other.
    assert next(first) == next(second) == ["question", "answer"] and csv.field_size_limit() == before
    assert len(list(first)) == 2 and len(list(second)) == 2 and second.line == 3
    with pytest.raises(csv.Error):
        list(Records(['a,"b\n'], ","))
    assert csv.field_size_limit() == before
    path = tmp_path / "t.csv"
    path.write_text(text)
    chats = records(path)
    assert next(chats).value == {"question": "q", "answer": LONG}
    # Also while the file is half read.
    assert csv.field_size_limit() == before
    assert [row["answer"] for row in read_table_rows(path)] == [LONG, LONG]
    assert len(list(chats)) == 1 and csv.field_size_limit() == before
