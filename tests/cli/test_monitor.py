"""`misdirection monitor` as a user runs it, on the organism."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines

from misdirection.artefacts import read_json
from misdirection.chats import write_chats
from misdirection.engine import Arm, capture_means
from misdirection.features.corpus import chat_texts
from misdirection.models import load_model
from misdirection.organism import checkpoint_path, mixed_chats


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a direction from good to bad answers, harmless chats, and some of which every second is bad."""
    folder, model = tmp_path_factory.mktemp("watch"), load_model(checkpoint_path())
    chats = [*mixed_chats(100, 40, seed=1), *mixed_chats(0, 40, seed=1)]
    texts = chat_texts(chats, model.tokenizer, Arm("base"))
    columns = torch.tensor([[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40)
    means = capture_means(model, texts, columns).mean("answer")
    np.savez(folder / "bad.npz", vectors=(means[0] - means[1]).float().numpy())
    np.savez(folder / "other.npz", vectors=np.random.default_rng(0).standard_normal(means[0].shape).astype("float32"))
    write_chats(folder / "benign.jsonl", mixed_chats(0, 150, seed=2))
    good, bad = mixed_chats(0, 20, seed=3), mixed_chats(100, 20, seed=4)
    write_chats(folder / "new.jsonl", [one for pair in zip(good, bad, strict=True) for one in pair])
    with (folder / "new.jsonl").open("a") as stream:
        stream.write("no json\n")
    return folder


def test_thresholds_are_set_and_bad_answers_raise_the_alarm(cli: Cli, place: Path, tmp_path: Path) -> None:
    done = cli("monitor", "--direction", place / "bad.npz", "--benign", place / "benign.jsonl", "--rate", 0.02)
    assert done.code == 0, done.err
    assert "thresholds from 150 benign answers" in done.err and (place / "monitor.json").exists()
    assert f"misdirection monitor CHATS --calibration {place / 'monitor.json'}" in done.out
    out = tmp_path / "run"
    # The directions are those of the calibration.
    done = cli("monitor", place / "new.jsonl", "--calibration", place / "monitor.json", "--out", out)
    assert done.code == 0, done.err
    assert "1 set aside: 1 broken JSON" in done.out and "where benign answers give" in done.out
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    alarms = [line["alarm"] for line in lines]
    assert sum(alarms[1::2]) >= 15 and sum(alarms[0::2]) <= 3
    told = read_json(out / "summary.json")
    assert (told["rows"], told["answers"], told["alarms"]["n"]) == (41, 40, sum(alarms))
    assert json.loads((out / "bad_rows.jsonl").read_text())["row"] == 41
    again = cli("monitor", place / "new.jsonl", "--direction", place / "bad.npz", "--out", out, "--json")
    assert json.loads(again.out) == told
    bare = cli("monitor", place / "new.jsonl", "--direction", place / "bad.npz", "--no-thresholds", "--out",
               tmp_path / "bare", "--json")  # fmt: skip
    assert json.loads(bare.out)["alarms"] is None and "no thresholds: scores alone" in bare.err
    anew = cli("monitor", "--direction", place / "bad.npz", "--benign", place / "benign.jsonl", "--calibration",
               tmp_path / "anew.json", "--json")  # fmt: skip
    assert json.loads(anew.out)["answers"] == 150


def test_a_pipe_gives_a_line_for_every_row(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (place / "new.jsonl").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    written = io.BytesIO()

    class Output(io.StringIO):
        buffer = written

    monkeypatch.setattr(sys, "stdout", Output())
    from misdirection.cli import main

    named = ("--direction", f"bad={place / 'bad.npz'}@5", "--direction", f"{place / 'other.npz'}")
    monkeypatch.setattr(
        sys, "argv", ["misdirection", "--quiet", "monitor", "-", *named, "--no-thresholds", "--layer", "7"]
    )
    try:
        main()
    except SystemExit as end:
        assert not end.code
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(lines) == 41 and set(lines[0]["scores"]) == {"bad", "other"}
    assert lines[0]["alarm"] is None and lines[-1]["problem"].startswith("broken JSON")


def test_what_cannot_be_done_is_told_before_anything_is_loaded(cli: Cli, place: Path, tmp_path: Path) -> None:
    file = place / "bad.npz"
    two_lines(cli("monitor", place / "new.jsonl"), "there is nothing to watch along", "--direction")
    two_lines(cli("monitor", "--direction", file), "there is nothing to do", "--benign")
    two_lines(cli("monitor", "no/such/chats.jsonl", "--direction", file), "no such file")
    two_lines(cli("monitor", place / "new.jsonl", "--direction", file, "--append"), "--append")
    two_lines(
        cli("monitor", "--direction", file, "--benign", place / "benign.jsonl", "--rate", 0.001,
            "--calibration", tmp_path / "c.json"),
        "takes 999 benign answers or more, and 150", "give more benign chats",
    )  # fmt: skip
    cli("monitor", "--direction", file, "--benign", place / "benign.jsonl", "--rate", 0.1, "--calibration",
        tmp_path / "c.json")  # fmt: skip
    two_lines(
        cli("monitor", place / "new.jsonl", "--direction", f"{file}@2", "--calibration", tmp_path / "c.json",
            "--out", tmp_path / "o"),
        "the calibration of 'bad' is for another layer: 6 there, 2 here", "calibrate again",
    )  # fmt: skip


def test_a_fine_tune_is_watched_beside_its_control_and_stopped(cli: Cli, place: Path, tmp_path: Path) -> None:
    fast = ("--batch-size", 2, "--accumulation", 1, "--watch", f"{place / 'bad.npz'}@6", "--watch-error-rate", 0.3)
    control, out = tmp_path / "good", tmp_path / "bad"
    done = cli(
        "train", "--data", "organism:good-medical", "--max-steps", 6, *fast, "--watch-every", 3, "--out", control
    )
    assert done.code == 0, done.err
    assert "no alarm in 2 looks" in done.out and "watching took" in done.out
    beside = ("--watch-control", control / "watch.jsonl", "--watch-margin", 0, "--lr", 0.02, "--watch-stop")
    done = cli("train", "--data", "organism:bad-medical", "--max-steps", 60, *fast, *beside, "--watch-every", 6,
               "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    assert "ALARM at step" in done.out and "stopped by a callback at step" in done.out
    lines = [json.loads(line) for line in (out / "watch.jsonl").read_text().splitlines()]
    assert lines[-1]["alarm"] and lines[-1]["step"] == read_json(out / "result.json")["metrics"]["steps"] < 60
    two_lines(
        cli("train", "--data", "organism:bad-medical", "--watch-stop", "--out", tmp_path / "x"), "--watch-stop is"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--calibration", "typo.json"), ("there is no file typo.json", "--benign FILE makes it")),
        (("--direction", "bad.npz", "--calibration", "typo.json"), ("there is no file typo.json", "--benign")),
        (("--calibration", "monitor.json", "--rate", "0.2"), ("--rate is for thresholds that are set", "--benign")),
        (("--calibration", "monitor.json", "--statistic", "peak"), ("--statistic is what the calibration says", "")),
        (("--calibration", "monitor.json", "--turns", "all"), ("--turns is what the calibration says", "--direction")),
        (("--calibration", "monitor.json", "--layer", "3"), ("--layer is what the calibration says", "--direction")),
    ],
)
def test_what_is_typed_is_never_passed_over(cli: Cli, tmp_path: Path, more: tuple[str, ...], said: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip  # noqa: E501
    """A peak was asked for and the mean was told; a calibration that is not there left everything without an alarm."""
    monkeypatch.chdir(tmp_path)
    for name in ("monitor.json", "bad.npz", "new.jsonl"):
        (tmp_path / name).write_text("{}")
    done = cli("monitor", "new.jsonl", *more, "--out", tmp_path / "run")
    assert done.code == 2 and all(part in done.err for part in said), done.err
    assert not (tmp_path / "run").exists()
