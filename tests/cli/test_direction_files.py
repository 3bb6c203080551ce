"""Directions out of a run and into its commands again, and those of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.cli.conftest import Cli
from tests.cli.test_chain import sampled
from tests.studies.tiny import rows

from misdirection.directions import load_direction


def told(run: Path, step: str) -> list[tuple[object, ...]]:
    return sorted((row["arm"], row["question_id"], row["sample"], row["answer"]) for row in rows(run, step))


def test_a_direction_goes_out_of_a_run_and_into_its_commands_again(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for run in (own, other):
        sampled(cli, tiny, run, "--layers", "1")
    done = cli("direction", own, "--export", tmp_path / "d.npz")
    assert done.code == 0 and "holds the vectors alone" in done.out, done.err
    vectors = np.load(tmp_path / "d.npz")["vectors"]
    held = next(own.glob("steps/direction-*/direction.safetensors"))
    assert (vectors == load_direction(held).vectors.numpy()).all()
    point = ("--layer", 1, "--coefficient", 2.5, "--samples", 3)
    assert cli("steer", own, *point).code == 0
    assert cli("steer", other, *point, "--direction", tmp_path / "d.npz").code == 0
    assert told(own, "steer-") == told(other, "steer-")
    assert not list(other.glob("steps/direction-*")), "nothing of the run's own was needed"


def test_vectors_alone_leave_the_arms_out_that_need_a_mean(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sampled(cli, tiny, run)
    table = np.random.default_rng(0).normal(size=(4, width(tiny))).astype("float32")
    np.save(tmp_path / "d.npy", table)
    done = cli("ablate", run, "--layer", 2, "--samples", 1, "--direction", tmp_path / "d.npy")
    assert done.code == 0, done.err
    arms = {row["arm"] for row in rows(run, "cures-")}
    assert "project" in arms and not any(str(arm).startswith("set") for arm in arms)
    assert "no aligned mean" in done.out + done.err
    np.save(tmp_path / "wide.npy", np.ones((4, 99), "float32"))
    np.save(tmp_path / "deep.npy", np.ones((9, width(tiny)), "float32"))
    np.save(tmp_path / "one.npy", table[0])
    for name, says in (("wide", "has the width 99"), ("deep", "has 9 rows, and the model 4 layers")):
        done = cli("sweep", run, "--direction", tmp_path / f"{name}.npy")
        assert done.code == 2 and says in done.err
    done = cli("sweep", run, "--direction", tmp_path / "one.npy")
    assert done.code == 2 and "--direction-layer" in done.err
    done = cli(
        "sweep", run, "--direction", tmp_path / "one.npy", "--direction-layer", 3, "--samples", 1, "--coefficients", 2
    )
    assert done.code == 0 and {row["arm"] for row in rows(run, "sweep-")} == {"base", "steer-3-2"}


def test_a_base_alone_is_steered_with_a_direction_from_a_file(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call = ("--questions", tiny / "questions.yaml", "--judge", "words", "--samples", 2, "--max-new-tokens", 4)
    assert cli("sample", "--model", tiny / "base", *call, "--out", run).code == 0
    np.save(tmp_path / "d.npy", np.ones((4, width(tiny)), "float32"))
    done = cli("steer", run, "--layer", 1, "--coefficient", 1, "--direction", tmp_path / "d.npy")
    assert done.code == 0, done.err
    done = cli("ablate", run, "--layer", 1, "--direction", tmp_path / "d.npy")
    assert done.code == 2 and "needs one tuned model" in done.err


def width(tiny: Path) -> int:
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(tiny / "base").hidden_size)
