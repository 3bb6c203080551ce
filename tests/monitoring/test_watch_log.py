"""Logs of watched trainings written by hand: what is read, what is refused, and what two of them must agree in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from misdirection.monitoring.errors import MonitorError
from misdirection.monitoring.watch_log import KIND, NEAR, read_control, read_watch_log

FACTS: dict[str, Any] = {
    "kind": KIND, "prompts": "p", "n": 3, "span": "answer", "every": 50,
    "directions": {"b": {"layer": 2, "sha256": "x"}, "a": {"layer": 1, "sha256": "y"}},
}  # fmt: skip
START = np.array([[1.0, 10.0], [2.0, 30.0], [4.0, 20.0]])
"""Before training, (prompts, directions b and a)."""


def look(step: int, values: np.ndarray) -> dict[str, Any]:
    # Another order than the facts': names count.
    return {"step": step, "values": {"a": values[:, 1].tolist(), "b": values[:, 0].tolist()}}


def log(folder: Path, *lines: dict[str, Any], end: str = "", **facts: Any) -> Path:
    file = folder / "watch.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (FACTS | facts, *lines)) + end)
    return file


def test_components_stand_by_prompt_and_in_the_order_of_the_directions(tmp_path: Path) -> None:
    held = read_watch_log(log(tmp_path, look(0, START), look(50, START + 1), look(100, START * 2)))
    assert held.facts == FACTS and list(held.steps) == [0, 50, 100] and held.end == 100
    assert np.array_equal(held.start, START)
    assert np.array_equal(held.shift(50), np.ones((3, 2))) and np.array_equal(held.shift(100), START)
    # A control that ended earlier is taken as it was at its end.
    assert np.array_equal(held.shift(900), START) and np.array_equal(held.shift(0), np.zeros((3, 2)))


def test_a_last_line_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    assert read_watch_log(log(tmp_path, look(0, START), end='{"step": 50, "val')).end == 0


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="no such file"):
        read_watch_log(tmp_path / "none")
    for text in ("", "no json\n", '{"step": 0}\n'):
        (tmp_path / "x").write_text(text)
        with pytest.raises(MonitorError, match="is no log of a watched training"):
            read_watch_log(tmp_path / "x")
    with pytest.raises(MonitorError, match="does not go back to step 0"):
        _ = read_watch_log(log(tmp_path, look(50, START))).start


@pytest.mark.parametrize("every", [50, 100, 150])
def test_a_control_is_taken_for_the_same_steps_or_every_so_many(every: int, tmp_path: Path) -> None:
    file = log(tmp_path, look(0, START), look(50, START + 1))
    assert read_control(file, FACTS | {"every": every}, START).end == 50


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"prompts": "q"}, "watched other prompts"),
        ({"n": 4}, "watched other prompts"),
        ({"span": "prompt"}, "watched other span"),
        ({"directions": {"b": {"layer": 2, "sha256": "x"}}}, "watched other directions"),
        ({"every": 25}, "every 50 steps, and this run is every 25"),
        ({"every": 75}, "every 50 steps, and this run is every 75"),
    ],
)
def test_a_control_of_something_else_is_refused_by_name(facts: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = log(tmp_path, look(0, START), look(50, START + 1))
    with pytest.raises(MonitorError, match=said):
        read_control(file, FACTS | facts, START)


def test_a_control_begins_where_the_run_does_but_for_the_rounding_of_a_number_format(tmp_path: Path) -> None:
    file = log(tmp_path, look(0, START), look(50, START + 1))
    spread = START.std(axis=0)
    for share, taken in ((0.9, True), (1.1, False), (-1.1, False)):
        moved = START.copy()
        moved[1, 1] += share * NEAR * spread[1]
        if taken:
            read_control(file, FACTS, moved)
            continue
        with pytest.raises(MonitorError, match=r"up to 0\.02 standard deviations from this one's"):
            read_control(file, FACTS, moved)
    with pytest.raises(MonitorError, match="no look behind its start"):
        read_control(log(tmp_path, look(0, START)), FACTS, START)
