"""Options that take several values: with commas, repeated, as a file's name, and longer than a file's name may be."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from misdirection.cli.derive import several


def test_commas_and_repeats_are_one_list() -> None:
    assert several(["3,5", "7"], int, "--layers") == (3, 5, 7)
    assert several(None, str, "--arms") == () and several(["a, b,"], str, "--arms") == ("a", "b")
    with pytest.raises(typer.BadParameter, match="'x' is no whole number"):
        several(["3,x"], int, "--layers")


def test_a_file_is_one_value_whatever_its_name_holds(tmp_path: Path) -> None:
    (tmp_path / "one,two.jsonl").write_text("{}")
    assert several([str(tmp_path / "one,two.jsonl")], str, "--data") == (str(tmp_path / "one,two.jsonl"),)


def test_a_list_may_be_longer_than_the_name_of_a_file() -> None:
    names = tuple(f"drop-perplexity=0.{number}" for number in range(100, 130))
    assert len(",".join(names)) > 255 and several([",".join(names)], str, "--arms") == names
