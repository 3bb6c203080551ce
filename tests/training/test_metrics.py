"""The lines of a fine-tune: what a resumed one keeps of them, and what is summed over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from misdirection.training.metrics import MetricsFile


def written(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_resumed_file_keeps_the_lines_of_steps_that_were_done(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    assert path.read_text() == ""
    for step in (5, 10, 15):
        first.add(step=step, loss=1 / step)
    with path.open("a") as stream:
        stream.write('{"step": 20, "lo')
    again = MetricsFile(path, after=10)
    assert [line["step"] for line in again.lines] == [5, 10] == [line["step"] for line in written(path)]
    again.add(step=15, loss=0.5)
    assert written(path)[-1] == {"step": 15, "loss": 0.5} and len(written(path)) == 3


def test_the_summary_is_of_all_lines_and_its_tail_of_the_last_tenth(tmp_path: Path) -> None:
    held = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(1, 31):
        held.add(step=step, loss=float(step), tokens=10 * step, seconds=0.5)
    found = held.summary()
    assert (found["loss_first"], found["loss_last"], found["loss_tail"]) == (1.0, 30.0, 29.0)
    assert (found["tokens"], found["seconds"], found["tokens_per_s"]) == (4650, 15.0, pytest.approx(310))
    few = MetricsFile(tmp_path / "few.jsonl")
    few.add(step=1, loss=2.0, tokens=1, seconds=0.0)
    assert few.summary()["loss_tail"] == 2.0
