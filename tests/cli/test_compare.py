"""`misdirection compare` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli
from tests.studies.test_comparison import BAD, BASE, MILD, judged, write


def test_two_runs_of_answers_at_a_terminal_and_as_json(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"main": judged({"base": BASE, "tuned": MILD})}, {"temperature": 1.0})
    two = write(tmp_path / "two", {"main": judged({"base": BASE, "tuned": BAD})}, {"temperature": 0.5})
    done = cli("compare", one, two, "--out", tmp_path / "out")
    assert done.code == 0 and done.err == ""
    assert "3.1 % (" in done.out and "31.2 % (" in done.out and "question and sample" in done.out
    assert "temperature  1      0.5" in done.out and (tmp_path / "out" / "report.html").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    (tmp_path / "out" / "report.html").unlink()
    assert cli("report", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "report.html").read_text() == page
    done = cli("report", tmp_path / "out", "--gate")
    assert done.code == 2 and "no verdict on misalignment" in done.err
    told = json.loads(cli("compare", one, two, "--out", tmp_path / "out", "--json").out)
    assert told["kind"] == "comparison" and {row["arm"] for row in told["arms"]} == {"base", "tuned"}


def test_another_judge_is_refused_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"main": judged({"tuned": MILD})})
    two = write(tmp_path / "two", {"main": judged({"tuned": BAD}, judge="another")})
    done = cli("compare", one, two, "--out", tmp_path / "out")
    assert done.code == 2 and "another" in done.err and not (tmp_path / "out").exists()


def test_a_torn_comparison_is_refused_with_what_makes_it_again(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text('{"kind": "comparison", "schema": 1, "title": "x"}')
    done = cli("report", tmp_path)
    assert done.code == 2 and "is missing" in done.err and "misdirection compare" in done.err
    assert not (tmp_path / "report.html").exists()
