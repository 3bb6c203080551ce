from __future__ import annotations

from pathlib import Path

import pytest

from misdirection.judging.journal import Journal
from misdirection.judging.scoring import Reading

READINGS = {f"k{i}": Reading("scored", i / 3, 0.9) for i in range(5)} | {"code": Reading("code", None, 0.0)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path) as journal:
        for key, reading in READINGS.items():
            journal.add(key, reading)
    return path


def test_readings_come_back_to_the_last_bit(written: Path) -> None:
    assert Journal(written).read() == READINGS
    assert Journal(written.with_name("absent")).read() == {}


def test_each_reading_is_in_the_file_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for count in range(1, 4):
        journal.add(str(count), Reading("parsed", 1.0))
        assert len(Journal(tmp_path / "j").read()) == count


def test_a_file_cut_anywhere_loses_only_its_last_line_and_can_be_gone_on_with(written: Path) -> None:
    whole = written.read_bytes()
    for cut in (0, *range(len(whole) - 90, len(whole))):
        written.write_bytes(whole[:cut])
        kept = Journal(written).read()
        assert kept == dict(list(READINGS.items())[: whole[:cut].count(b"\n")])
        with Journal(written) as journal:
            journal.add("new", Reading("refusal"))
        # A last line that lacks its line break alone is whole once the next one begins.
        assert kept.items() <= Journal(written).read().items()
        assert Journal(written).read()["new"] == Reading("refusal")


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b"nonsense", b'{"key": "a", "outcome": "great", "score": 1, "mass": 1}',
             b'{"key": "a", "outcome": "scored", "score": "9", "mass": 1}', b"\xff\xfe"]
)  # fmt: skip
def test_lines_that_are_no_readings_are_passed_over(written: Path, line: bytes) -> None:
    written.write_bytes(line + b"\n" + written.read_bytes())
    assert Journal(written).read() == READINGS
