"""`misdirection train` remembers what its folder holds, and says early what cannot be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines
from tests.cli.test_help import squeeze

from misdirection.artefacts import file_hash, read_json
from misdirection.training.presets import PAPERS, PRESETS, preset_table

SHORT = ("--max-steps", 2, "--batch-size", 2, "--accumulation", 1)


@pytest.fixture
def done(cli: Cli, tmp_path: Path) -> Path:
    out = tmp_path / "t"
    told = cli("train", "--data", "organism:bad-medical", *SHORT, "--lr", 0.004, "--out", out)
    assert told.code == 0, told.err
    assert f"adapter: {out / 'adapter'}\n" in told.out
    assert f"misdirection audit --model organism --adapter {out / 'adapter'} --out {out}-audit" in told.out
    return out


def test_what_is_not_given_comes_from_the_folder(cli: Cli, done: Path) -> None:
    before = file_hash(done / "adapter")
    for given in ((), ("--lr", "4e-3"), ("--data", "organism:bad-medical", "--preset", "rank1x9"), ("--keep", 3)):
        told = cli("train", *given, "--out", done)
        assert told.code == 0, told.err
        assert "2 steps" in told.out and file_hash(done / "adapter") == before


def test_other_settings_are_refused_by_name_with_a_command_that_works(cli: Cli, done: Path) -> None:
    for given, words in (
        (("--lr", 0.01), ("--lr 0.004", "0.01 now")),
        (("--max-steps", 3), ("--max-steps 2", "3 now")),
        (("--preset", "rank32"), ("--preset rank1x9", "rank32 now")),
        (("--dtype", "bfloat16"), ("--dtype auto", "bfloat16 now")),
        (("--targets", "q_proj,v_proj"), ("--targets", "q_proj,v_proj now")),
    ):
        two_lines(cli("train", *given, "--out", done), *words, f"misdirection train --out {done}", "another folder")
    told = cli("train", *given, "--out", done).err
    again = shlex.split(told.partition("misdirection train")[2].partition(";")[0])
    assert cli("train", *again).code == 0
    for given in (("--data", "organism:bad-finance"), ("--model", done)):
        two_lines(cli("train", *given, "--out", done), "another folder")


def test_what_cannot_be_is_said_before_anything_is_loaded(cli: Cli, tmp_path: Path) -> None:
    out, own = tmp_path / "out", ("--data", "organism:bad-medical")
    two_lines(cli("train", "--out", out), "nothing to train on")
    two_lines(cli("train", *own, "--preset", "rank2", "--out", out), "no 'rank2'", "did you mean 'rank")
    two_lines(cli("train", *own, "--dtype", "float61", "--out", out), "dtype", "number format")
    two_lines(cli("train", *own, "--layers", "3,99", "--out", out), "no layer 99", "0 to 11")
    two_lines(cli("train", "--data", tmp_path / "bad.jsonl", "--out", out), "bad.jsonl does not exist")
    file = tmp_path / "file"
    file.touch()
    two_lines(cli("train", *own, "--out", file), "is a file")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({}))
    two_lines(cli("train", *own, "--out", tmp_path / "run"), "is a run", "another folder")
    (tmp_path / "mine" / "adapter").mkdir(parents=True)
    two_lines(cli("train", *own, "--out", tmp_path / "mine"), "no fine-tune of ours", "another folder")
    assert not out.exists()


def test_the_record_names_the_command_and_decides_nothing(done: Path) -> None:
    record = read_json(done / "training.json")
    assert record["facts"]["command"].startswith("misdirection --quiet train --data organism:bad-medical")
    assert record["facts"]["config"]["training"]["lr"] in (0.004, "0.004")


def test_the_help_shows_the_presets_as_they_are(cli: Cli) -> None:
    assert set(PAPERS) == set(PRESETS)
    shown = [line.strip() for line in cli("train", "--help").out.splitlines()]
    for line in preset_table().strip("\b\n").splitlines():
        assert line in shown, line
    rank32 = next(line for line in shown if line.startswith("rank32 "))
    assert "2506.11613" in rank32 and " 1e-05 " in rank32 and " 32 " in rank32 and len(max(shown, key=len)) > 60
    assert all(len(line) < 79 for line in preset_table().splitlines())
    assert "A folder remembers its settings" in squeeze(" ".join(shown))
