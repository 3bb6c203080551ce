"""A run of several short steps, started and killed by test_runs.py: python runs_worker.py FOLDER SIDE_LOG."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from misdirection.artefacts import write_json, write_rows
from misdirection.runs import Run, Step


def build(folder: Path, side_log: Path | None, pause: float = 0.05) -> list[Step]:
    """Six steps, each from the one before; every real execution is a line of the side log."""

    def maker(number: int, before: Step | None) -> Callable[[Path], None]:
        def make(out: Path) -> None:
            if side_log is not None:
                with side_log.open("a") as stream:
                    stream.write(f"{number}\n")
            rows = [{"i": i, "x": random.Random(number * 100 + i).random()} for i in range(20)]
            write_rows(out / "rows.parquet", rows)
            time.sleep(pause)
            (out / "deep").mkdir()
            write_json(out / "deep" / "facts.json", {"number": number, "before": before.key if before else None})

        return make

    done: list[Step] = []
    with Run.open(folder, {"command": "worker", "seed": 1}) as run:
        for number in range(6):
            before = done[-1] if done else None
            done.append(run.step(f"step-{number}", {"number": number, "before": before}, maker(number, before)))
    return done


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
