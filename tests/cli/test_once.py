"""What is typed twice: one value of two would win in silence, so that two are refused and one is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from misdirection.errors import MisdirectionError
from misdirection.judging.columns import read_told
from misdirection.judging.options import read_options
from misdirection.judging.scales import read_scales
from misdirection.naming import each_once
from misdirection.studies.kit.config import named
from misdirection.studies.kit.tuned_config import NamedTunesConfig


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("audit", "--adapter", "one", "--adapter", "two", "--out", "x"),
            "--adapter takes one value, and is given one",
        ),
        (("audit", "--samples", "3", "--samples=4", "--out", "x"), "--samples takes one value, and is given 3 and 4"),
        (("train", "--model", "a", "--model", "b", "--out", "x"), "--model takes one value, and is given a and b"),
        (("study", "phases", "--out", "x", "--out", "y"), "--out takes one value, and is given x and y"),
        (("repair", "scale", "--adapter", "a", "--out", "x", "--factor", "3=0", "--factor", "3=1"), "'3' stands for 0"),
        (("sample", "--adapter", "A=x", "--adapter", "A=y", "--out", "x"), "'A' stands for x and for y"),
        (("app", "x", "--direction", "d=one.pt", "--direction", "d=two.pt"), "--direction: the name 'd' stands for"),
    ],
)
def test_two_values_for_one_thing_are_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*arguments)
    assert done.code == 2 and said in done.err, done.err
    assert not list(tmp_path.iterdir())


def test_one_value_typed_twice_and_a_switch_are_taken(cli: Cli, tmp_path: Path) -> None:
    twice = ("--samples", "2", "--samples=2", "--dry-run", "--dry-run", "--questions", "eight")
    done = cli("audit", *twice, "--out", tmp_path / "run")
    assert done.code == 0, done.err


def test_a_line_that_is_wrong_otherwise_is_told_as_ever(cli: Cli) -> None:
    done = cli("audit", "--samples", "3", "--samples", "4", "--bogus")
    assert done.code == 2 and "No such option" in done.err


def test_a_name_stands_for_one_value() -> None:
    assert each_once([("a", 1), ("b", 2), ("a", 1)], "--x") == {"a": 1, "b": 2}
    assert named(("bad=./x", "bad=./x"), "adapter") == {"bad": "./x"}
    with pytest.raises(MisdirectionError, match=r"--adapter: the name 'bad' stands for \./x and for \./y"):
        named(("bad=./x", "bad=./y"), "adapter")
    with pytest.raises(MisdirectionError, match="two fine-tunes are called 'law'"):
        _ = NamedTunesConfig(data=("law=a.jsonl",), fine_tune=("law=./adapter",)).tunes


def test_columns_scales_and_settings_of_judges_too() -> None:
    assert read_told(["answer=reply", "answer=reply"]) == {"answer": "reply"}
    assert len(read_scales(["0..1", "alignment=1..5", "0..1"])) == 2
    with pytest.raises(MisdirectionError, match="'answer' stands for reply and for text"):
        read_told(["answer=reply", "answer=text"])
    with pytest.raises(MisdirectionError, match=r"'both' stands for 0\.\.1 and for 1\.\.5"):
        read_scales(["0..1", "1..5"])
    with pytest.raises(MisdirectionError, match=r"'passes' stands for 2\.0 and for 3\.0"):
        read_options("model?passes=2&passes=3", "openai", {"passes": 1.0})
