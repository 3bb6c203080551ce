"""Interleaved timing, ratios with their spread, and the peak memory of one side in a process of its own."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.setting import Setting


@dataclass(frozen=True)
class Spent:
    """Seconds of one run: on the clock, and of the processor (all threads of this process)."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        part: Letter of the part.
        what: What is compared with what.
        equal: What was found equal before anything was timed.
        ours: Median of ours, seconds or MB.
        theirs: Median of the other side.
        ratio: Median of the ratios of each repeat.
        spread: Lowest and highest of these ratios.
        cpu: The ratio in processor time, None for memory and on a GPU.
        reads: How to read the ratio.
        target: In words, empty where there is none.
        met: Whether it is met, None where there is no target.
        unit: "s" or "MB".
    """

    part: str
    what: str
    equal: str
    ours: float
    theirs: float
    ratio: float
    spread: tuple[float, float]
    cpu: float | None
    reads: str
    target: str = ""
    met: bool | None = None
    unit: str = "s"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class UnequalError(AssertionError):
    """Two sides that should give the same do not, so that their times cannot be compared."""


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.perf_counter() - _START:4.0f} s] {text}", file=sys.stderr, flush=True)


_START = time.perf_counter()


def interleave(setting: Setting, sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[Spent]]:
    """Run all sides once a repeat, in turning order, so that a change of the machine's load meets each of them."""
    spent: dict[str, list[Spent]] = {name: [] for name in sides}
    for repeat in range(repeats):
        names = list(sides) if repeat % 2 == 0 else list(sides)[::-1]
        for name in names:
            spent[name].append(_timed(setting, sides[name]))
        say("  " + ", ".join(f"{name} {runs[-1].wall:.2f} s (cpu {runs[-1].cpu:.2f})" for name, runs in spent.items()))
    return spent


def _timed(setting: Setting, run: Callable[[], object]) -> Spent:
    gc.collect()
    _wait(setting)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    _wait(setting)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _wait(setting: Setting) -> None:
    if setting.device.startswith("cuda"):
        torch.cuda.synchronize()


def compare(
    setting: Setting,
    part: str,
    what: str,
    equal: str,
    ours: list[Spent],
    theirs: list[Spent],
    *,
    target: tuple[Literal["faster", "slower"], float] | None = None,
    inverse: bool = False,
) -> Line:
    """The line of two sides that were timed together.

    The ratio is theirs over ours (how many times faster we are), or with `inverse` ours over theirs (what our part
    costs). A target is judged by processor time where one thread does all the work, because it does not see what else
    runs on the machine; by the clock otherwise.
    """
    pairs = list(zip(ours, theirs, strict=True))
    turned = [(b, a) for a, b in pairs] if inverse else pairs
    walls = [b.wall / a.wall for a, b in turned]
    cpu = median(b.cpu / a.cpu for a, b in turned) if setting.device == "cpu" else None
    judged = cpu if cpu is not None and setting.threads == 1 else median(walls)
    words, met = "", None
    if target is not None:
        kind, bound = target
        words = f"{bound:g} times faster or more" if kind == "faster" else f"at most {bound - 1:.0%} slower"
        met = judged >= bound if kind == "faster" else judged <= bound
    return Line(
        part,
        what,
        equal,
        median(spent.wall for spent in ours),
        median(spent.wall for spent in theirs),
        median(walls),
        (min(walls), max(walls)),
        cpu,
        "ours / theirs" if inverse else "theirs / ours",
        words,
        met,
    )


def memory_line(part: str, what: str, equal: str, ours: float, theirs: float) -> Line:
    """The line of two peaks, in MB above the model and the texts."""
    ratio = theirs / max(ours, 0.1)
    return Line(part, what, equal, ours, theirs, ratio, (ratio, ratio), None, "theirs / ours", unit="MB")


@cache
def peak_memory(setting: Setting, side: str) -> float:
    """Peak memory in MB of one side (a name in `memory.SIDES`) above what stood before it ran, in a fresh process."""
    # Freed blocks go back to the system at once, so that what one layer frees does not hide what the next takes.
    small = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", side, json.dumps(setting.to_dict())],
        env={**os.environ, **small},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.strip().splitlines()[-1])
