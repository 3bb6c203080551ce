"""`metrics.jsonl`: one line a logged step, which a resumed fine-tune continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from misdirection.artefacts import atomic_path


class MetricsFile:
    """The lines of a fine-tune, on disk as soon as they are added.

    A line holds `step`, `loss` (mean over the steps since the line before), `lr`, `grad_norm` (before clipping),
    `tokens` and `seconds` since the line before, `tokens_per_s`.

    Args:
        path: The file; made when the first line comes.
        after: Steps done before: lines beyond are dropped, for they are about to be made again.
    """

    def __init__(self, path: Path, after: int = 0) -> None:
        self.path = path
        self.lines = [line for line in _read(path) if line["step"] <= after]
        with atomic_path(path) as whole:
            whole.write_text("".join(json.dumps(line) + "\n" for line in self.lines), encoding="utf-8")

    def add(self, **values: Any) -> None:
        """Add a line."""
        self.lines.append(values)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")

    def summary(self) -> dict[str, float]:
        """First and last loss, the mean of the last tenth of the lines, tokens, seconds and tokens a second."""
        losses = [line["loss"] for line in self.lines]
        tail = losses[-max(1, len(losses) // 10) :]
        tokens, seconds = (sum(line[key] for line in self.lines) for key in ("tokens", "seconds"))
        return {
            "loss_first": losses[0],
            "loss_last": losses[-1],
            "loss_tail": sum(tail) / len(tail),
            "tokens": tokens,
            "seconds": seconds,
            "tokens_per_s": tokens / max(seconds, 1e-9),
        }


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file: a kill can leave the last one cut."""
    found: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(text))
        except ValueError:
            break
    return found
