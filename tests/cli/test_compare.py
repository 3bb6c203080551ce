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
    told = json.loads(cli("compare", one, two, "--out", tmp_path / "out", "--json").out)
    assert told["kind"] == "comparison" and {row["arm"] for row in told["arms"]} == {"base", "tuned"}


def test_another_judge_is_refused_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"main": judged({"tuned": MILD})})
    two = write(tmp_path / "two", {"main": judged({"tuned": BAD}, judge="another")})
    done = cli("compare", one, two, "--out", tmp_path / "out")
    assert done.code == 2 and "another" in done.err and not (tmp_path / "out").exists()
