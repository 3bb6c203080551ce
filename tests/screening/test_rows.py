"""Lines are kept byte for byte, whatever the file looks like."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from misdirection.chats import ChatError
from misdirection.screening.errors import ScreeningError
from misdirection.screening.rows import read_rows, write_lines


def line(question: str, **extra: object) -> bytes:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "é \u2028 answer"}]
    # Odd blanks, another order of keys, escapes: none of it may change.
    return json.dumps({**extra, "messages": turns}, separators=(", ", " :  "), ensure_ascii=bool(extra)).encode()


def test_lines_stand_as_they_are_with_bad_rows_blank_lines_and_no_end(tmp_path: Path) -> None:
    lines = [line("a") + b"\r\n", line("b", id=7) + b"\n", line("c")]
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + lines[0] + b"\n{broken\n" + lines[1] + b"  \n" + lines[2])
    found = read_rows([str(file)])
    assert list(found.lines) == [*lines[:2], lines[2] + b"\n"]
    assert [chat.messages[0].content for chat in found.chats] == ["a", "b", "c"]
    assert [bad.row for bad in found.unusable] == [3] and found.bad is None
    write_lines(tmp_path / "y.jsonl", found.lines)
    assert read_rows([str(tmp_path / "y.jsonl")]).sha256 == found.sha256
    with pytest.raises(ChatError, match="row 3"):
        read_rows([str(file)], strict=True)


def test_gzip_and_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "a.gz", tmp_path / "b.jsonl"
    one.write_bytes(gzip.compress(line("a") + b"\n" + line("b") + b"\n"))
    two.write_bytes(line("a") + b"\n")
    found = read_rows([str(one), str(two)])
    assert list(found.lines) == [line("a") + b"\n", line("b") + b"\n", line("a") + b"\n"]


def test_a_field_tells_which_rows_are_bad(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\n".join([line("a", bad=True), line("b", bad=0), line("c", bad=1)]))
    assert read_rows([str(file)], label="bad").bad == (True, False, True)
    with pytest.raises(ScreeningError, match="row 1: the field 'kind' is missing"):
        read_rows([str(file)], label="kind")
    file.write_bytes(line("a", bad="perhaps"))
    with pytest.raises(ScreeningError, match='is "perhaps"'):
        read_rows([str(file)], label="bad")
