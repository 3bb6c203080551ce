"""Counts and moments of a stream against numpy, and the numbers of rows that come behind those of an earlier stream."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.monitoring.test_stream import MODEL, WATCH, chats, rows

from misdirection.chats import write_chats
from misdirection.monitoring import Summary, monitor_to
from misdirection.monitoring.summary import WORST, Running


def test_moments_are_those_of_all_numbers_together() -> None:
    values = np.random.default_rng(0).standard_normal(50) * 3 - 7
    held = Running()
    assert held.sd is None
    for value in values:
        held.add(float(value))
    assert (held.n, held.low, held.high) == (50, values.min(), values.max())
    assert (held.mean, held.sd) == pytest.approx((values.mean(), values.std(ddof=1)))


def test_the_worst_are_kept_and_of_equal_ones_the_first() -> None:
    summary = Summary(calibration=object())  # type: ignore[arg-type]
    z = [float(value) for value in np.random.default_rng(1).permutation(30)] + [29.0]
    for row, value in enumerate(z, 1):
        line: dict[str, Any] = {"tokens": 2, "scores": {"a": {"mean": 0.0, "z": value}, "b": {"mean": 1.0, "z": -9.0}}}
        summary.add(line | {"alarm": value > 27, "alarms": ["a"] * (value > 27), "row": row}, "mean")
    assert [one["z"] for one in summary.worst] == [29.0, 29.0, *(float(n) for n in range(28, 20, -1))]
    assert len(summary.worst) == WORST and summary.worst[0]["row"] == z.index(29.0) + 1 < summary.worst[1]["row"] == 31
    assert (summary.answers, summary.tokens, summary.alarms, summary.beyond["a"]) == (31, 62, 3, 3)
    assert (summary.by_direction["a"].mean, summary.by_direction["b"].mean) == (0.0, 1.0)


def test_rows_that_come_later_are_numbered_behind_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "log.jsonl"
    write_chats(source, chats(4))
    lines = source.read_text().splitlines()
    lines.insert(2, "no json")
    for append in (False, True):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join([*lines, ""]).encode())))
        summary = monitor_to(tmp_path / "out", MODEL, "-", WATCH, append=append)
    assert [row["n"] for row in rows(tmp_path / "out" / "scores.jsonl")] == [1, 2, 4, 5, 6, 7, 9, 10]
    assert [row["n"] for row in rows(tmp_path / "out" / "bad_rows.jsonl")] == [3, 8]
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (told["rows"], told["answers"], told["set_aside"], summary.rows) == (10, 8, 2, 10)
