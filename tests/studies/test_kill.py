"""SIGKILL at random moments of a whole audit, fine-tune included: it ends with the same result and repeats nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.studies import contract
from tests.studies.tiny import STEPS, made, session, timeless

from misdirection.artefacts import read_json

ROOT = Path(__file__).parents[2]


def killed(subject: Path, out: Path, seed: int) -> int:
    """Run the worker; gives how often it killed."""
    command = [sys.executable, str(Path(__file__).with_name("kill_worker.py")), str(subject), str(out), str(seed)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["faults"] == []
    return int(told["kills"])


def compare(out: Path, seed: int) -> None:
    calm, run = out / "calm", out / f"killed-{seed}"
    contract.check(read_json(run / "findings.json"))
    assert timeless(run) == timeless(calm)
    assert (run / "report.html").exists()
    # The log says of every step at most once that it was made, and of the last session that all were there or made.
    assert all(count == 1 for count in made(run).values())
    wanted = ["train", *STEPS]
    assert [name for name, _ in session(run)][-len(wanted) :] == wanted
    assert not list(run.glob("steps/.tmp*")) and not list(run.glob("work/*"))


def test_killed_at_random_it_ends_alike_and_repeats_no_finished_step(tiny: Path, tmp_path: Path) -> None:
    assert killed(tiny, tmp_path, 1) > 0
    assert made(tmp_path / "calm") == dict.fromkeys(["train", *STEPS], 1)
    compare(tmp_path, 1)


@pytest.mark.slow
def test_killed_many_times_over(tiny: Path, tmp_path: Path) -> None:
    assert sum(killed(tiny, tmp_path, seed) for seed in range(2, 8)) > 12
    for seed in range(2, 8):
        compare(tmp_path, seed)
