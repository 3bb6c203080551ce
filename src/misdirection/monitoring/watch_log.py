"""The log of a watched training: a first line that says what was watched, then one a look.

    {"kind": ..., "prompts": <hash>, "n": 32, "span": ..., "every": 50, "directions": {name: {layer, sha256}}, ...}
    {"step": 0, "values": {name: [one a prompt]}}
    {"step": 50, "shift": {name: ...}, "values": ..., "p": ..., "level": ..., "alarm": false, ...}

Another run's log is the control: it must have watched the same prompts along the same directions, from the same model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from misdirection.artefacts import plain
from misdirection.monitoring.errors import MonitorError

KIND = "misdirection training watch"

SAME = ("prompts", "n", "span", "directions")
"""What two logs must agree in to be compared."""

ALIKE = (*SAME, "every", "error_rate", "margin", "below")
"""What a training that is gone on with must keep: its alarm is one test from the first look to the last."""

NEAR = 0.02
"""How far two readings of one model may lie apart, in standard deviations over prompts: another number format."""


@dataclass(frozen=True)
class WatchLog:
    """What a watched training left.

    Attributes:
        path: The file.
        facts: Its first line.
        steps: By optimiser step the components, shape (prompts, directions).
        judged: By step of a look p, what it was held against, and whether it raised the alarm.
    """

    path: Path
    facts: dict[str, Any]
    steps: dict[int, NDArray[np.float64]]
    judged: dict[int, tuple[float, float, bool]]

    @property
    def start(self) -> NDArray[np.float64]:
        """Before training, shape (prompts, directions).

        Raises:
            MonitorError: The log does not go back to it.
        """
        if 0 not in self.steps:
            raise MonitorError(f"{self.path} does not go back to step 0", "watch the run from its beginning")
        return self.steps[0]

    @property
    def end(self) -> int:
        """The last step that was looked at."""
        return max(self.steps)

    def shift(self, step: int) -> NDArray[np.float64]:
        """How far each prompt has moved at a step, behind the last look as far as there; (prompts, directions)."""
        return self.steps[min(step, self.end)] - self.start


def read_watch_log(path: str | Path) -> WatchLog:
    """Read a log; a last line that a kill has cut is left out.

    Raises:
        MonitorError: It is none.
    """
    place = Path(path)
    if not place.is_file():
        raise MonitorError(f"{path}: no such file", "give the watch.jsonl of a watched training")
    rows: list[dict[str, Any]] = []
    for line in place.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    if not rows or rows[0].get("kind") != KIND:
        raise MonitorError(f"{path} is no log of a watched training", "give the watch.jsonl of one")
    facts, *looks = rows
    names = list(facts["directions"])
    steps = {int(row["step"]): np.array([row["values"][name] for name in names]).T for row in looks}
    judged = {
        int(row["step"]): (float(row["p"]), float(row["level"]), bool(row["alarm"])) for row in looks if "p" in row
    }
    return WatchLog(place, facts, steps, judged)


def read_control(path: str | Path, facts: dict[str, Any], start: NDArray[np.float64]) -> WatchLog:
    """The log of a control run, for a training that watches what `facts` says and starts at `start`.

    Raises:
        MonitorError: It watched something else or at other steps, or began from another model.
    """
    found = read_watch_log(path)
    for name in SAME:
        if found.facts.get(name) != plain(facts[name]):
            raise MonitorError(
                f"the control {path} watched other {name if name != 'n' else 'prompts'} than this run",
                "watch both with the same prompts, directions and layers",
            )
    every, own = int(found.facts["every"]), int(facts["every"])
    if own % every:
        raise MonitorError(
            f"the control {path} was looked at every {every} steps, and this run is every {own}",
            f"look at the same steps: every {every}, or a multiple of it",
        )
    if not found.end:
        raise MonitorError(f"the control {path} has no look behind its start", "let it train for longer")
    if missing := [step for step in range(own, found.end, own) if step not in found.steps]:
        raise MonitorError(
            f"the control {path} was not looked at at step {missing[0]}", "watch it from its beginning to its end"
        )
    apart = np.abs(found.start - start).max(axis=0) / np.maximum(start.std(axis=0), 1e-12)
    if float(apart.max()) > NEAR:
        raise MonitorError(
            f"the control {path} began from another model: before training its components lie up to "
            f"{float(apart.max()):.2f} standard deviations from this one's",
            "a control is fine-tuned from the same base, in the same number format",
        )
    return found
