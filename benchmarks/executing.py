"""A grid of fine-tunes by one process and by Ray with 1 and 2 workers: equal adapters first, then times and ratios.

    python -m benchmarks.executing [--seeds 4] [--steps 20] [--rounds 3]

By the clock, since workers run beside each other, all places once a round, workers that have imported everything. On a
machine that others use two workers also get two processes' share of it: its load is printed. Ray's workers stand back
behind all other processes (niceness 15); here they do not, for that is what one process does not do either.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from misdirection.artefacts import file_hash
from misdirection.executing import find_executor
from misdirection.runs import Run
from misdirection.store.task import Executor
from misdirection.studies.kit.tuning import fine_tuned, tuning_of

PLACES = {
    "one process": "",
    "Ray, 1 worker": "ray://local?workers=1&cpus=0.5",
    "Ray, 2 workers": "ray://local?workers=2&cpus=0.5",
}


def grid(on: Executor | None, folder: Path, seeds: int, steps: int) -> tuple[float, list[str]]:
    """Seconds that the fine-tunes take, and the hashes of their adapters."""
    calls = [
        tuning_of("organism", ("organism:bad-medical",), "rank1x9", {"max_steps": steps}, seed) for seed in range(seeds)
    ]
    with Run.open(folder, {}) as run:
        started = time.monotonic()
        made = run.cached_many(fine_tuned, "train", calls=calls, on=on)
        spent = time.monotonic() - started
        return spent, [file_hash(step.path / "tuned" / "adapter_model.safetensors") for step in made]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")
    executors = {name: find_executor(where) for name, where in PLACES.items()}
    times: dict[str, list[float]] = {name: [] for name in PLACES}
    first: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, on in executors.items():
            grid(on, Path(folder) / f"warm {name}", 2, 1)
        for number in range(asked.rounds):
            for name, on in executors.items():
                spent, hashes = grid(on, Path(folder) / f"{number} {name}", asked.seeds, asked.steps)
                times[name].append(spent)
                first = first or hashes
                if hashes != first:
                    sys.exit(f"{name}: other adapters than those of one process")
    machine = f"{os.cpu_count()} cores, load {', '.join(f'{one:.0f}' for one in os.getloadavg())}"
    print(f"{asked.seeds} fine-tunes of {asked.steps} steps, adapters equal bit for bit; {machine}")
    for name, spent in times.items():
        ratios = [alone / one for alone, one in zip(times["one process"], spent, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name:16} {median(spent):6.1f} s   {median(ratios):4.2f} of one process's speed ({spread})")


if __name__ == "__main__":
    main()
