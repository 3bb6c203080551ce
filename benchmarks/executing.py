"""A grid of fine-tunes by one process and by Ray with 1 and 2 workers: equal adapters first, then times and ratios.

python -m benchmarks.executing
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from misdirection.artefacts import file_hash
from misdirection.executing import find_executor
from misdirection.runs import Run
from misdirection.store.task import Executor
from misdirection.studies.kit.tuning import fine_tuned, tuning_of

SEEDS = 4
STEPS = 40
PLACES = {
    "one process": "",
    "Ray, 1 worker": "ray://local?workers=1&cpus=0.5",
    "Ray, 2 workers": "ray://local?workers=2&cpus=0.5",
}


def grid(on: Executor | None, folder: Path, steps: int) -> tuple[float, list[str]]:
    """Seconds that the fine-tunes take, and the hashes of their adapters."""
    calls = [
        tuning_of("organism", ("organism:bad-medical",), "rank1x9", {"max_steps": steps}, seed) for seed in range(SEEDS)
    ]
    with Run.open(folder, {}) as run:
        started = time.monotonic()
        made = run.cached_many(fine_tuned, "train", calls=calls, on=on)
        spent = time.monotonic() - started
        return spent, [file_hash(step.path / "tuned" / "adapter_model.safetensors") for step in made]


def main() -> None:
    """Print the table."""
    times: dict[str, float] = {}
    first: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, where) in enumerate(PLACES.items()):
            on = find_executor(where)
            grid(on, Path(folder) / f"warm-{number}", 1)  # workers that have imported everything
            times[name], hashes = grid(on, Path(folder) / str(number), STEPS)
            first = first or hashes
            if hashes != first:
                sys.exit(f"{name}: other adapters than those of one process")
    for name, spent in times.items():
        print(f"{name:16} {spent:6.1f} s   {times['one process'] / spent:4.2f} of one process's speed")


if __name__ == "__main__":
    main()
