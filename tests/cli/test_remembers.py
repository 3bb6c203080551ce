"""A run remembers what it was made with, as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_chain import sampled
from tests.cli.test_errors import two_lines
from tests.studies.tiny import made, session

from misdirection.artefacts import read_json, read_rows
from misdirection.runs import list_steps


def test_a_finished_sample_becomes_an_audit_of_the_same_model(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    sampled(cli, tiny, run, "--layers", "1", "--coefficients", "2", "--sweep-samples", 1)
    two_lines(cli("report", run), "holds no findings.json", f"misdirection audit --out '{run}'")
    # The advice, typed as it stands: nothing is trained, the answers are those that are there.
    done = cli("audit", "--out", run)
    assert done.code == 0, done.err
    assert "train" not in made(run) and made(run)["answers"] == 1
    assert read_json(run / "run.json")["facts"]["config"]["samples"] == 24
    count = len(session(run))
    assert cli("audit", "--out", run).code == 0 and all(reused for _, reused in session(run)[count:])
    # The default, when it is typed, is another value than the run's.
    done = cli("sample", "--out", run, "--samples", 20)
    assert done.code == 0 and read_json(run / "run.json")["facts"]["config"]["samples"] == 20
    for given in (("--model", "organism"), ("--adapter", tiny / "base"), ("--tuned", tiny / "whole")):
        two_lines(cli("audit", "--out", run, *given), str(tiny), str(given[1]), "another folder")
    two_lines(cli("study", "narrow", "--out", run), "another kind", "made by: misdirection")


def test_a_base_alone_and_several_adapters(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    common = ("--model", tiny / "base", "--questions", tiny / "questions.yaml", "--judge", "words", "--samples", 2,
              "--max-new-tokens", 8)  # fmt: skip
    alone, two, one = tmp_path / "alone", tmp_path / "two", tmp_path / "one"
    assert cli("sample", *common, "--out", alone).code == 0
    several = ("--adapter", f"a={tiny / 'adapter'}", "--adapter", f"b={tiny / 'adapter'}")
    assert cli("sample", *common, *several, "--out", two).code == 0
    assert cli("sample", *common, "--adapter", tiny / "adapter", "--out", one).code == 0
    texts = {name: arms(run) for name, run in (("alone", alone), ("two", two), ("one", one))}
    assert set(texts["alone"]) == {"base"} and set(texts["two"]) == {"base", "a", "b"}
    assert texts["alone"]["base"] == texts["two"]["base"] == texts["one"]["base"]
    assert texts["two"]["a"] == texts["two"]["b"] == texts["one"]["tuned"]
    done = cli("judge", two)
    assert done.code == 0 and all(f"\n  {arm} " in done.out for arm in ("base", "a", "b")), done.out
    done = cli("judge", alone)
    assert done.code == 0 and "tuned" not in done.out
    two_lines(cli("direction", two), "run of 2 adapters", "misdirection sample --model")
    two_lines(cli("direction", alone), "base model alone", "misdirection sample --model")
    same = cli("sample", *common, "--adapter", f"base={tiny / 'adapter'}", "--out", tmp_path / "r")
    two_lines(same, "'base' is the name of the base model")


def arms(run: Path) -> dict[str, list[str]]:
    file = next(step.path for step in list_steps(run) if step.name == "answers") / "answers.parquet"
    found: dict[str, list[str]] = {}
    for row in read_rows(file):
        found.setdefault(row["arm"], []).append(row["answer"])
    return found


def test_nothing_is_left_of_a_start_that_failed(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    from tests.cli.test_errors import test_an_adapter_for_another_base as fails

    fails(cli, tiny, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["audit", "sample"])
def test_a_folder_without_a_record_is_made(command: str, cli: Cli, tmp_path: Path) -> None:
    done = cli(command, "--model", tmp_path / "absent", "--adapter", "x", "--out", tmp_path / "deep" / "run")
    assert done.code == 2 and not (tmp_path / "deep").exists()
