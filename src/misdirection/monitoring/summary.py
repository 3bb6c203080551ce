"""What a monitor has seen so far, in as much memory after a million answers as after one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from misdirection.monitoring.calibration import Calibration
from misdirection.statistics import wilson

WORST = 10
"""Answers that are remembered as the worst."""


@dataclass
class Running:
    """Count, mean and variance of a stream of numbers (Welford 1962)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        """One more."""
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def sd(self) -> float | None:
        """Standard deviation, None for fewer than two."""
        return (self.squares / (self.n - 1)) ** 0.5 if self.n > 1 else None


@dataclass
class Summary:
    """Counts and moments of a stream.

    Attributes:
        calibration: Whose thresholds raise alarms, None where there are none.
        rows: Rows that came in.
        answers: Answers that were scored.
        tokens: Tokens that were scored.
        alarms: Answers that raised the alarm.
        by_direction: Scores along each, and how many answers were beyond its threshold.
        bad: Rows set aside, by reason.
        worst: The answers furthest beyond (or nearest to) the thresholds, the worst first.
    """

    calibration: Calibration | None = None
    rows: int = 0
    answers: int = 0
    tokens: int = 0
    alarms: int = 0
    by_direction: dict[str, Running] = field(default_factory=dict[str, Running])
    beyond: Counter[str] = field(default_factory=Counter[str])
    bad: Counter[str] = field(default_factory=Counter[str])
    warnings: list[str] = field(default_factory=list[str])
    _worst: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list[tuple[float, int, dict[str, Any]]])

    def add(self, line: Mapping[str, Any], statistic: str) -> None:
        """Count one line of results."""
        self.answers += 1
        self.tokens += int(line["tokens"])
        for name, score in line["scores"].items():
            self.by_direction.setdefault(name, Running()).add(float(score[statistic]))
        if self.calibration is None:
            return
        self.alarms += bool(line["alarm"])
        self.beyond.update(line["alarms"])
        z = max(float(score["z"]) for score in line["scores"].values())
        place = {key: line[key] for key in ("source", "row", "id", "choice", "turn") if line.get(key) is not None}
        item = (z, -self.answers, place | {"z": z, "alarms": list(line["alarms"])})
        if len(self._worst) < WORST:
            heapq.heappush(self._worst, item)
        else:
            heapq.heappushpop(self._worst, item)

    @property
    def worst(self) -> list[dict[str, Any]]:
        """The worst answers, the worst first."""
        return [place for _, _, place in sorted(self._worst, reverse=True)]

    def facts(self) -> dict[str, Any]:
        """As JSON has it: what came in, what was set aside, rates with their intervals."""
        held, calibration = self.calibration, None
        if held is not None:
            low, high = wilson(self.alarms, self.answers)
            calibration = {
                "asked": held.rate, "expected": held.expected, "low": held.low, "high": held.high,
                "answers": held.answers, "prompts": held.prompts,
            }  # fmt: skip
            share = self.alarms / self.answers if self.answers else None
            alarms: dict[str, Any] | None = {"n": self.alarms, "of": self.answers, "rate": share, "low": low,
                                             "high": high}  # fmt: skip
        else:
            alarms = None
        return {
            "rows": self.rows,
            "answers": self.answers,
            "tokens": self.tokens,
            "set_aside": sum(self.bad.values()),
            "set_aside_by_reason": dict(self.bad.most_common()),
            "alarms": alarms,
            "false_alarms": calibration,
            "directions": {name: self._direction(name, one) for name, one in self.by_direction.items()},
            "worst": self.worst,
            "warnings": self.warnings,
        }

    def _direction(self, name: str, one: Running) -> dict[str, Any]:
        found: dict[str, Any] = {"mean": one.mean, "sd": one.sd, "lowest": one.low, "highest": one.high}
        if self.calibration is not None:
            scale = self.calibration.scales[name]
            found |= {
                "benign_mean": scale.mean,
                "benign_sd": scale.sd,
                "threshold": scale.threshold,
                "shift_in_benign_sds": (one.mean - scale.mean) / scale.sd,
                "beyond": self.beyond[name],
            }
        return found
