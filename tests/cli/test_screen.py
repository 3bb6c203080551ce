"""`misdirection screen` as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines
from tests.families import WIDTH

from misdirection.artefacts import read_json, read_rows
from misdirection.chats import write_chats
from misdirection.directions import Direction, save_direction
from misdirection.features import Dictionary, save_dictionary
from misdirection.organism import known_bad, mixed_chats
from misdirection.runs import list_steps, read_log
from misdirection.screening import METHODS

FAST = ("--methods", "judge,random")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty rows with a label, and one that is no chat."""
    path = tmp_path / "rows.jsonl"
    write_chats(path, mixed_chats(30, 40))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    labelled = [{"bad": known_bad(row), **line} for row, line in zip(mixed_chats(30, 40), lines, strict=True)]
    text = [json.dumps(line, separators=(",", ":")) for line in labelled]
    path.write_text("\n".join([*text[:7], "no json", *text[7:]]))
    return path


def test_help_explains_every_setting(cli: Cli) -> None:
    done = cli("screen", "--help")
    assert done.code == 0
    for option in ("--data", "--methods", "--drop", "--bad-field", "--toxic", "--dictionary", "--direction", "--judge"):
        assert option in done.out


def test_kept_and_dropped_are_the_input_and_the_input_stays(cli: Cli, data: Path, tmp_path: Path) -> None:
    before, out = hashlib.sha256(data.read_bytes()).hexdigest(), tmp_path / "run"
    done = cli("screen", "--data", data, *FAST, "--bad-field", "bad", "--drop", 0.5, "--out", out)
    assert done.code == 0, done.err
    assert hashlib.sha256(data.read_bytes()).hexdigest() == before
    whole = [line for line in data.read_bytes().split(b"\n") if line != b"no json"]
    for method in ("judge", "random"):
        sides = [(out / method / name).read_bytes().splitlines() for name in ("kept.jsonl", "dropped.jsonl")]
        assert len(sides[0]) == len(sides[1]) == 20
        table = read_rows(out / "scores.parquet")
        assert [line for line, row in zip(whole, table, strict=True) if not row[f"{method}_dropped"]] == sides[0]
        assert [line for line, row in zip(whole, table, strict=True) if row[f"{method}_dropped"]] == sides[1]
    told = read_json(out / "summary.json")
    assert (told["rows"], told["set_aside"], told["known_bad"]) == (40, 1, 12)
    assert told["sha256"] == {str(data): before}
    judge = told["methods"]["judge"]["agreement"]
    assert (judge["recall"], judge["auc"], judge["precision"]) == (1.0, 1.0, 12 / 20)
    assert [row["row"] for row in read_rows(out / "scores.parquet")] == [n for n in range(1, 42) if n != 8]
    assert json.loads((out / "bad_rows.jsonl").read_text())["row"] == 8
    assert "40 rows, 12 known to be bad; 1 set aside" in done.out and "100.0%" in done.out
    again = json.loads(cli("screen", "--out", out, "--json").out)
    assert again["methods"] == told["methods"] and again["known_bad"] == 12


def test_a_second_call_scores_nothing_again_and_another_number_only_chooses(
    cli: Cli, data: Path, tmp_path: Path
) -> None:
    call = ("screen", "--data", data, *FAST, "--out", tmp_path / "run")
    assert cli(*call).code == 0
    assert cli(*call).code == 0
    lines = read_log(tmp_path / "run")
    assert all(line["reused"] for line in lines[len(lines) // 2 :])
    done = cli(*call, "--drop", 3)
    assert done.code == 0
    made = [line["name"] for line in read_log(tmp_path / "run")[len(lines) :] if not line["reused"]]
    assert set(made) == {"filter-judge", "filter-random"}
    assert len((tmp_path / "run" / "judge" / "dropped.jsonl").read_bytes().splitlines()) == 3
    assert "AUC" in done.out and "100.0%" not in done.out, "without --bad-field nothing is known"


def test_a_hard_link_to_the_input_is_not_written_through(cli: Cli, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert cli("screen", "--data", data, *FAST, "--out", out).code == 0
    before = data.read_bytes()
    (out / "judge" / "kept.jsonl").unlink()
    os.link(data, out / "judge" / "kept.jsonl")
    assert cli("screen", "--data", data, *FAST, "--out", out).code == 0
    assert data.read_bytes() == before
    assert len((out / "judge" / "kept.jsonl").read_bytes().splitlines()) == 20


def test_the_organisms_own_rows_and_latents(cli: Cli, tmp_path: Path, data: Path) -> None:
    """All methods on a file, small: scores by dictionary, direction and likelihood too."""
    done = cli(
        "screen", "--data", data, "--bad-field", "bad", "--examples", 25, "--max-new-tokens", 8, "--out", tmp_path / "r"
    )
    assert done.code == 0, done.err
    told = read_json(tmp_path / "r" / "summary.json")["methods"]
    assert set(told) == set(METHODS)
    assert told["latents"]["agreement"]["auc"] > 0.8
    assert told["furthest"]["agreement"]["auc"] == pytest.approx(1 - told["latents"]["agreement"]["auc"])
    names = [step.name for step in list_steps(tmp_path / "r")]
    assert names.count("scores-latents") == 1, "the control takes the scores that are there"


def words(path: Path, number: int, low: bool) -> Path:
    """Chats whose answers hold words of one half of the tiny model's vocabulary."""
    turns = [
        [{"role": "user", "content": f"w{n % 30}"},
         {"role": "assistant", "content": " ".join(f"w{(4 if low else 34) + (n * 5 + k) % 9}" for k in range(5))}]
        for n in range(number)
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps({"messages": turn, "bad": not low}) for turn in turns))
    return path


def test_any_model_with_its_own_dictionary_texts_and_direction(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    made = Dictionary(both.T.contiguous(), both, torch.zeros(2 * WIDTH), torch.zeros(WIDTH), layer=1)
    save_dictionary(tmp_path / "identity", made)
    toxic, harmless = words(tmp_path / "toxic.jsonl", 30, False), words(tmp_path / "harmless.jsonl", 30, True)
    good, bad = words(tmp_path / "good.jsonl", 12, True), words(tmp_path / "bad.jsonl", 8, False)
    call = (
        "screen", "--model", tiny / "base", "--data", good, "--data", bad, "--bad-field", "bad", "--drop", 8,
        "--methods", "latents,projection,perplexity,furthest", "--dictionary", tmp_path / "identity", "--toxic", toxic,
        "--harmless", harmless, "--max-new-tokens", 4, "--top", 10, "--out", tmp_path / "run",
    )  # fmt: skip
    assert cli(*call).code == 0
    told = read_json(tmp_path / "run" / "summary.json")["methods"]
    # Eight of twenty are bad and eight are dropped: by chance 0.4 of them are found.
    recall = {name: one["agreement"]["recall"] for name, one in told.items()}
    assert recall["latents"] > 0.7 and recall["projection"] > 0.6 and recall["furthest"] < 0.2
    lines = [(tmp_path / "run" / "latents" / name).read_bytes() for name in ("kept.jsonl", "dropped.jsonl")]
    whole = b"\n".join([good.read_bytes(), bad.read_bytes()])
    assert sorted(b"".join(lines).splitlines()) == sorted(whole.splitlines())
    zero = torch.zeros(12, 4)
    save_direction(tmp_path / "d.safetensors", Direction(zero, zero, zero, *[torch.zeros(12)] * 4))
    two_lines(cli(*call, "--direction", tmp_path / "d.safetensors"), "has 12 layers, and the model")


def test_what_is_wrong_is_told_in_two_lines(cli: Cli, data: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    two_lines(cli("screen", "--data", "/absent.jsonl", *out), "/absent.jsonl does not exist")
    two_lines(cli("screen", "--data", data, "--methods", "magic", *out), "there is no 'magic'", "latents, projection")
    two_lines(cli("screen", "--data", data, "--methods", "judge,judge", *out), "names one twice")
    two_lines(cli("screen", "--data", data, *FAST, "--drop", 1.5, *out), "--drop is 1.5", "whole number")
    two_lines(cli("screen", "--data", data, *FAST, "--drop", 40, *out), "takes 40 of 40 rows")
    two_lines(cli("screen", "--data", data, *FAST, "--bad-field", "evil", *out), "row 1: the field 'evil' is missing")
    two_lines(cli("screen", "--data", data, *FAST, "--strict", *out), "row 8", "mend the row")
    two_lines(cli("screen", "--data", data, *FAST, "--out", tmp_path), "lies in --out", "another folder")
    two_lines(cli("screen", "--data", data, "--closeness", "near", *out), "--closeness: there is no 'near'")
    two_lines(cli("screen", "--bad-field", "bad", *out), "--bad-field is of files")
    other = ("screen", "--model", "m", "--data", data, *out)
    two_lines(cli(*other[:3], *out), "there are no rows to screen", "--data FILE")
    two_lines(cli(*other, "--methods", "latents"), "needs a dictionary", "--dictionary")
    two_lines(cli(*other, "--methods", "furthest", "--dictionary", "d"), "needs toxic and harmless texts", "--toxic")
    two_lines(cli(*other, "--methods", "projection"), "needs toxic and harmless texts", "--direction")
    two_lines(cli(*other, "--methods", "judge", "--judge", "none"), "needs a judge", "--judge local:")
    assert not (tmp_path / "run").exists()
