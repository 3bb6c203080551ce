"""A disk that takes no more: what is said, that nothing is lost or half there, and that the same command goes on.

A real limit of the system on the size of files stands in for the full disk: writes fail in the same calls, with another
number (`misdirection.errors.no_room`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_chain import sampled
from tests.cli.test_damaged_runs import make_run
from tests.cli.test_errors import two_lines
from tests.studies.tiny import made

from misdirection.training.metrics import MetricsFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows bounds no file")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder: Path) -> dict[str, str]:
    """Hash of every file but the lock, whose owner changes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_keeps_its_steps_and_goes_on(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sampled(cli, tiny, run)
    before = content(run)
    with files_of_at_most(500):
        done = cli("judge", run)
    two_lines(done, "ulimit -f", f"make room; {run} keeps what is finished (answers), and the same command goes on")
    assert content(run) == before
    assert cli("judge", run).code == 0
    assert made(run) == {"answers": 1, "verdicts": 1}


def test_a_fine_tune_that_could_not_be_written_is_made_by_the_same_command(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "tune"
    typed = ("train", "--data", "organism:bad-medical", "--preset", "rank1x9", "--max-steps", 2, "--batch-size", 1,
             "--accumulation", 1, "--out", out)  # fmt: skip
    with files_of_at_most(12_000):
        done = cli(*typed)
    two_lines(done, f"{out} cannot be written", "misdirection --quiet train --data organism:bad-medical")
    assert not (out / "adapter").exists() and not list(out.rglob(".partial-*")) and not (out / "result.json").exists()
    assert cli(*typed).code == 0 and (out / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("command", ["report", "compare", "export", "push"])
def test_what_is_written_of_a_run_is_whole_or_not_there(command: str, cli: Cli, tmp_path: Path) -> None:
    if command == "export":
        pytest.importorskip("inspect_ai")
    run, other, out = make_run(cli, tmp_path / "run"), make_run(cli, tmp_path / "other"), tmp_path / "out"
    typed = {
        "report": ("report", run),
        "compare": ("compare", run, other, "--out", out),
        "export": ("export", run, "--inspect", out),
        "push": ("push", run, "me/direction", "--folder", out),
    }[command]
    before = content(tmp_path)
    with files_of_at_most(300):
        done = cli(*typed)
    place = run / "report.html" if command == "report" else out
    two_lines(done, "ulimit -f", str(place), "make room; ", f": misdirection --quiet {command}")
    assert content(tmp_path) == before, "the run and its report are as they were, and nothing else is there"
    assert cli(*typed).code == 0 and place.exists()


def test_figures_of_a_training_that_is_gone_on_with_are_not_lost(tmp_path: Path) -> None:
    """They are written anew without the lines behind its state: over the old ones, or not at all."""
    file = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(file)
    for step in range(1, 21):
        metrics.add(step=step, loss=1 / 3, tokens=step, seconds=1.0)
    before = file.read_bytes()
    with files_of_at_most(100), pytest.raises(OSError):
        MetricsFile(file, after=10)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    assert [line["step"] for line in MetricsFile(file, after=10).lines] == list(range(1, 11))
