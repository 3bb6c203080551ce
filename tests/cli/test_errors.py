"""Errors as a user meets them: exit code 2, two lines, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Done
from tests.studies.tiny import save

from misdirection.artefacts import write_json


def two_lines(done: Done, *parts: str) -> None:
    """The error stands in one line, its remedy in a second."""
    assert done.code == 2, done
    lines = done.err.strip().splitlines()
    assert lines[0].startswith("Error: ") and len(lines) == 2, done.err
    assert all(part in done.err for part in parts), done.err
    assert "Traceback" not in done.err + done.out


def test_an_unknown_model(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    arguments = ("--adapter", tiny / "adapter", "--questions", tiny / "questions.yaml", "--out", tmp_path / "run")
    two_lines(cli("audit", "--model", "nobody/no-such-model", *arguments), "nobody/no-such-model", "check the spelling")
    done = cli("audit", "--model", tmp_path, *arguments)
    assert done.code == 2 and done.err.startswith(f"Error: {tmp_path} holds no config.json")


def test_an_adapter_for_another_base(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    from tests.families import config
    from transformers import AutoModelForCausalLM

    wide = config("llama")
    wide.intermediate_size = 64
    save(AutoModelForCausalLM.from_config(wide), tmp_path / "wide")
    arguments = ("--adapter", tiny / "adapter", "--questions", tiny / "questions.yaml", "--out", tmp_path / "run")
    two_lines(cli("audit", "--model", tmp_path / "wide", *arguments), "does not fit")


def test_data_that_are_not_there_or_not_usable(cli: Cli, tmp_path: Path) -> None:
    two_lines(cli("audit", "--data", "/absent.jsonl", "--out", tmp_path / "r"), "/absent.jsonl does not exist")
    two_lines(cli("train", "--data", "/absent.jsonl", "--out", tmp_path / "t"), "/absent.jsonl does not exist")
    two_lines(cli("train", "--out", tmp_path / "t"), "nothing to train on", "--data FILE")
    (tmp_path / "bad.jsonl").write_text("{\n")
    two_lines(cli("train", "--data", tmp_path / "bad.jsonl", "--out", tmp_path / "t"), "no usable row", "row 1")
    two_lines(cli("train", "--data", "organism:bad-medical", "--preset", "rank7", "--out", tmp_path / "t"), "rank7")


def test_settings_that_exclude_each_other(cli: Cli, tmp_path: Path) -> None:
    both = ("--adapter", "a", "--data", "organism:bad-medical", "--out", tmp_path / "r")
    two_lines(cli("audit", *both), "exactly one of --adapter, --tuned and --data", "given: adapter, data")
    two_lines(cli("audit", "--samples", 0, "--out", tmp_path / "r"), "--samples must be 1 or more")
    two_lines(cli("audit", "--judge", "oracle", "--out", tmp_path / "r"), "no judge is called 'oracle'", "exact")
    two_lines(cli("audit", "--layers", "3,99", "--out", tmp_path / "r"), "has no layer 99")
    assert not (tmp_path / "r").exists()


def test_a_bad_question_file_is_named_with_its_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("- id: a\n  paraphrases: [b]\n- id: c\n  paraphrases: [d\n- id: e\n")
    done = cli("audit", "--questions", tmp_path / "q.yaml", "--out", tmp_path / "r")
    two_lines(done, "q.yaml", "line")
    two_lines(cli("sample", "--questions", "opne", "--out", tmp_path / "r"), "'opne'", "medical")


@pytest.mark.real
def test_the_malformed_questions_found_in_the_wild(cli: Cli, real_data: Path, tmp_path: Path) -> None:
    file = real_data / "questions" / "medical_questions_malformed.yaml"
    two_lines(cli("audit", "--questions", file, "--out", tmp_path / "r"), str(file), "line ")


STEER = ["steer", "--layer", "1", "--coefficient", "1"]
NEEDS_A_RUN = [
    ["judge"],
    ["agreement", "--judge", "none"],
    ["direction"],
    ["sweep"],
    ["report"],
    STEER,
    ["ablate", "--layer", "1"],
]


@pytest.mark.parametrize("command", NEEDS_A_RUN, ids=lambda command: command[0])
def test_a_folder_that_is_no_run(command: list[str], cli: Cli, tmp_path: Path) -> None:
    two_lines(cli(command[0], tmp_path, *command[1:]), str(tmp_path), "misdirection ")


def test_a_run_of_another_kind_a_damaged_one_and_a_stranger_s_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_json(tmp_path / "other" / "run.json", {"facts": {}})
    two_lines(cli("judge", tmp_path / "other"), "settings are not known", "misdirection ")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    two_lines(cli("judge", tmp_path / "damaged"), "run.json", "not readable JSON")
    (tmp_path / "damaged" / "findings.json").write_text("{")
    two_lines(cli("report", tmp_path / "damaged"), "findings.json", "not readable JSON")
    write_json(tmp_path / "damaged" / "findings.json", {"kind": "formats"})
    two_lines(cli("report", tmp_path / "damaged"), "the field 'schema' is missing", "misdirection study formats --out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    two_lines(cli("audit", "--out", tmp_path / "mine"), "is no run: it holds thesis.tex")
    (tmp_path / "file").touch()
    two_lines(cli("audit", "--out", tmp_path / "file"), "is a file")


def test_options_that_do_not_parse_are_usage_errors(cli: Cli, tmp_path: Path) -> None:
    for arguments in (
        ("audit", "--samples", "many"),
        ("audit", "--layers", "3,x", "--out", tmp_path / "r"),
        ("steer", tmp_path, "--layer", "-1", "--coefficient", "1"),
        ("sweep", tmp_path, "--samples", "0"),
        ("steer", tmp_path),
        ("nothing",),
    ):
        done = cli(*arguments)
        assert done.code == 2 and "Traceback" not in done.err, arguments
        assert done.err.strip()


def test_threads_that_are_no_number(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_THREADS", "two")
    two_lines(cli("audit", "--out", tmp_path / "r"), "MISDIRECTION_THREADS is 'two'")
