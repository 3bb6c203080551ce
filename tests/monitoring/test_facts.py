"""What a monitor's summary tells, against counts made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binomtest

from misdirection.monitoring import Summary
from misdirection.monitoring.calibration import Calibration, Scale


def line(row: int, a: tuple[float, float], b: tuple[float, float], *alarms: str, tokens: int = 5) -> dict[str, Any]:
    """A row of results: mean and z along each of two directions."""
    scores = {name: {"mean": mean, "peak": 2 * mean, "z": z} for name, (mean, z) in (("a", a), ("b", b))}
    held = {"source": "log", "row": row, "id": None, "choice": 0, "turn": 1}
    return held | {"tokens": tokens, "scores": scores, "alarm": bool(alarms), "alarms": list(alarms)}


def calibration() -> Calibration:
    scales = {"a": Scale(1.0, 2.0, 7.0, {}), "b": Scale(0.0, 0.5, 1.5, {})}
    return Calibration(0.01, 0.009, 0.004, 0.02, 3.0, 500, 400, 2, scales, {}, {})


def test_rates_shifts_and_counts_are_those_of_the_rows() -> None:
    summary = Summary(calibration(), rows=5)
    for one in (line(1, (3.0, 1.0), (0.5, 1.0)), line(2, (9.0, 4.0), (2.5, 5.0), "a", "b", tokens=7),
                line(3, (3.0, 1.0), (2.0, 4.0), "b"), line(4, (1.0, 0.0), (-1.0, -2.0))):  # fmt: skip
        summary.add(one, "mean")
    summary.bad["no json"] += 1
    told = summary.facts()
    assert [told[name] for name in ("rows", "answers", "tokens", "set_aside")] == [5, 4, 22, 1]
    assert told["set_aside_by_reason"] == {"no json": 1}
    interval = binomtest(2, 4).proportion_ci(method="wilson")
    assert told["alarms"] == {"n": 2, "of": 4, "rate": 0.5, "low": pytest.approx(interval.low),
                              "high": pytest.approx(interval.high)}  # fmt: skip
    assert told["false_alarms"]["asked"] == 0.01 and told["false_alarms"]["answers"] == 500
    one, other = (told["directions"][name] for name in "ab")
    assert (one["mean"], one["lowest"], one["highest"], one["beyond"]) == (4.0, 1.0, 9.0, 1)
    assert one["sd"] == pytest.approx((36 / 3) ** 0.5) and one["shift_in_benign_sds"] == (4.0 - 1.0) / 2.0
    assert (other["mean"], other["beyond"], other["shift_in_benign_sds"]) == (1.0, 2, 2.0)
    assert [place["row"] for place in told["worst"]] == [2, 3, 1, 4]
    assert told["worst"][0] == {"source": "log", "row": 2, "choice": 0, "turn": 1, "z": 5.0, "alarms": ["a", "b"]}


def test_another_statistic_is_read_where_it_is_asked_for_and_without_thresholds_there_are_no_alarms() -> None:
    summary = Summary()
    summary.add(line(1, (3.0, 1.0), (0.5, 9.0)), "peak")
    told = summary.facts()
    assert told["directions"]["a"] == {"mean": 6.0, "sd": None, "lowest": 6.0, "highest": 6.0}
    assert told["alarms"] is None is told["false_alarms"] and told["worst"] == []


def test_before_anything_has_come_there_is_no_rate() -> None:
    told = Summary(calibration()).facts()
    assert (told["alarms"]["n"], told["alarms"]["of"], told["alarms"]["rate"]) == (0, 0, None)
    assert told["directions"] == {} and told["worst"] == []
