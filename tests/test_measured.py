"""A figure of the machine is measured once, and every later process takes the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from misdirection import measured as room
from misdirection.measured import measured
from misdirection.processor import processor_kind, processor_words


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path))
    return tmp_path


def refuse() -> float:
    raise AssertionError("measured again")


def test_the_first_figure_counts() -> None:
    assert measured("x", "1", lambda: 2.1) == 2.1
    assert measured("x", "1", refuse) == 2.1


def test_another_name_version_or_processor_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [measured(*key, lambda: 1.0) for key in (("x", "1"), ("y", "1"))] == [1.0, 1.0]
    assert measured("x", "2", lambda: 2.0) == 2.0
    monkeypatch.setattr(room, "processor_kind", lambda: "another")
    assert measured("x", "1", lambda: 3.0) == 3.0
    monkeypatch.undo()


def test_of_two_that_measure_at_once_the_first_to_end_counts_for_both() -> None:
    def slow() -> float:
        assert measured("x", "1", lambda: 3.0) == 3.0
        return 5.0

    assert measured("x", "1", slow) == 3.0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"value": "much"}', "{}"])
def test_a_broken_file_is_replaced(cache: Path, text: str) -> None:
    measured("x", "1", lambda: 1.0)
    (file,) = (cache / "measured").iterdir()
    file.write_text(text)
    assert measured("x", "1", lambda: 2.0) == 2.0
    assert measured("x", "1", refuse) == 2.0
    assert list((cache / "measured").iterdir()) == [file]


def test_where_nothing_can_be_written_each_measures(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("MISDIRECTION_CACHE", str(cache / "file"))
    figures: Iterator[float] = iter([1.0, 2.0])
    assert [measured("x", "1", lambda: next(figures)) for _ in range(2)] == [1.0, 2.0]


def test_another_process_multiplies_as_the_first_did(tmp_path: Path) -> None:
    """The second one would measure the opposite."""
    code = """
from misdirection.models import number_format, products
times = {times}
products.best_time = lambda run: times.pop(0)
print(products.faster(), number_format.times_faster())
"""

    def told(times: list[float]) -> str:
        command = [sys.executable, "-c", code.format(times=times)]
        return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True).stdout

    first = told([1.0, 2.0, 3.0, 1.5])
    assert first == told([2.0, 1.0, 1.5, 3.0])
    assert first.split()[1] == "2.0"


def test_the_processor_is_told_by_what_does_not_change() -> None:
    assert processor_kind() == processor_kind.__wrapped__()
    if processor_words():
        assert "flags" in processor_kind() or "Features" in processor_kind()
        assert "MHz" not in processor_kind()
