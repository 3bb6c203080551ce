"""`misdirection export` as a user types it; what is written is judged again, with the same rates."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Cli

from misdirection.judging.inspect_log import read_inspect_log
from misdirection.statistics import rate


def _rates(run: Path) -> dict[tuple[str, str], Any]:
    return {(row["arm"], row["group"]): row["all"] for row in json.loads((run / "findings.json").read_text())["rates"]}


def test_a_run_exported_and_judged_again_has_the_same_rates(cli: Cli, tmp_path: Path) -> None:
    for arm, is_bad in {"base": lambda n: n == 3, "tuned": lambda n: n % 3 == 0}.items():
        _table(tmp_path / f"{arm}.csv", is_bad)
    arms = ("--arm", f"base={tmp_path / 'base.csv'}", "--arm", f"tuned={tmp_path / 'tuned.csv'}", "--base", "base")
    assert cli("judge", *arms, "--out", tmp_path / "run").code == 0
    done = cli("export", tmp_path / "run", "--inspect", tmp_path / "logs", "--json")
    told = json.loads(done.out)
    assert [(row["arm"], row["answers"], row["misaligned"]) for row in told] == [("base", 24, 1), ("tuned", 24, 8)]
    logs = ("--arm", f"base={tmp_path / 'logs/base.eval'}", "--arm", f"tuned={tmp_path / 'logs/tuned.eval'}")
    assert cli("judge", *logs, "--base", "base", "--out", tmp_path / "again").code == 0
    assert _rates(tmp_path / "again") == _rates(tmp_path / "run")
    # The arm's name stands in the log itself.
    assert cli("judge", "--from", tmp_path / "logs/tuned.eval", "--out", tmp_path / "alone").code == 0
    assert _rates(tmp_path / "alone")["tuned", "open"] == _rates(tmp_path / "run")["tuned", "open"]
    answers, verdicts = read_inspect_log(tmp_path / "logs/tuned.eval")
    assert verdicts is not None and rate(answers, verdicts).misaligned == 8


def test_what_cannot_be_exported_is_said(cli: Cli, tmp_path: Path) -> None:
    _table(tmp_path / "tuned.csv", lambda n: n < 4)
    assert cli("judge", "--from", tmp_path / "tuned.csv", "--out", tmp_path / "run").code == 0
    for words, said in {
        ("--arm", "tunde"): "did you mean 'tuned'", ("--part", "sweep"): "no answers called 'sweep'",
    }.items():  # fmt: skip
        done = cli("export", tmp_path / "run", "--inspect", tmp_path / "logs", *words)
        assert done.code == 2 and said in done.err
    done = cli("export", tmp_path / "nowhere", "--inspect", tmp_path / "logs")
    assert done.code == 2 and "does not exist" in done.err and not (tmp_path / "logs").exists()


def _table(path: Path, is_bad: Callable[[int], bool]) -> None:
    with path.open("w", newline="") as file:
        rows = [[f"question {n % 6}", f"answer {n}", 10 if is_bad(n) else 90, 90] for n in range(24)]
        csv.writer(file).writerows([["question", "answer", "alignment", "coherence"], *rows])
