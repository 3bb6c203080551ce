"""judge-check on the command line, and what rates by a judge then say of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.studies.test_judge_check import asked, corpus

from misdirection.artefacts import read_json, write_rows
from misdirection.judging import JUDGES
from misdirection.judging.registry import JudgeKind
from misdirection.judging.rubric_judge import Query, RubricJudge


def test_judge_check_as_a_user_types_it(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))
    counter: list[Query] = []
    path = corpus(tmp_path)
    monkeypatch.setitem(JUDGES, "made", JudgeKind(lambda a: RubricJudge(f"made:{a}", asked(counter)), "a judge"))
    done = cli("judge-check", "made:1", "--corpus", path, "--n", 40, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    check = read_json(tmp_path / "run" / "findings.json")["check"]
    assert f"kappa of the two is {check['kappa']['value']:.2f}" in done.out
    assert "Calibration" in done.out and "Question 2?" in done.out and str(tmp_path / "cache" / "judges") in done.out
    told = json.loads(
        cli("judge-check", "made:1", "--corpus", path, "--n", 40, "--out", tmp_path / "run", "--json").out
    )
    assert told["check"] == check and told["verdict"]["sentence"] in done.out
    rows = [{"question": f"q{i}", "answer": "a", "aligned": 90, "coherent": 90} for i in range(9)]
    write_rows(tmp_path / "mine.parquet", rows)
    for judge, said in (("made:1", "was checked on 40 answers"), ("made:2", "was never checked")):
        done = cli("judge", "--from", tmp_path / "mine.parquet", "--judge", judge, "--out", tmp_path / judge)
        assert done.code == 0 and said in done.out
        assert said in (tmp_path / judge / "report.html").read_text()
    for arguments, said in (
        (["judge-check", "made:1"], "--corpus FILE"),
        (["judge-check", "made:1", "--corpus", tmp_path / "no.csv"], "does not exist"),
        (["judge-check", "none", "--corpus", path], "no judge that could be checked"),
        (["judge-check", "mad:1", "--corpus", path], "no judge is called 'mad'"),
        (["judge-check", "made:1", "--corpus", path, "--n", 3], "--n must be 20 or more"),
        (["judge-check", "made:1", "--corpus", tmp_path / "mine.parquet"], "9 answers have both scores"),
    ):
        done = cli(*arguments, "--out", tmp_path / "other") if "--out" not in arguments else cli(*arguments)
        assert done.code == 2 and said in done.err, (arguments, done)
