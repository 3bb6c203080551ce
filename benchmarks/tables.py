"""What it costs to judge tables of others: `python -m benchmarks.tables`.

7,400 judged answers go through `misdirection judge --from ... --out` whole, report included: the four real tables of
`judged/` (1,200 rows each), and 2,600 rows drawn from three of them without replacement, in a file each, with the
file's number behind every answer, so that no text and no table of counts comes twice. Then the same rows in 37 files.
Processor time (user and system) and peak memory are those of the command's own process; of several turns the least.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

DATA = Path(os.environ.get("MISDIRECTION_DATA", "../shared/data")) / "judged"
BASE = "qwen2.5-14b_base"
NAMES = (BASE, "qwen2.5-14b_bad_medical_r1", "qwen2.5-14b_bad_medical_r32", "qwen2.5-coder-32b_insecure")
FIELDS = ["question", "answer", "question_id", "aligned", "coherent"]
DRAWN = (867, 867, 866)
TURNS = 3

Rows = list[dict[str, str]]


def tables() -> dict[str, Rows]:
    """The rows of seven files, by name."""
    found: dict[str, Rows] = {}
    for name in NAMES:
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            found[name] = [{field: row[field] for field in FIELDS} for row in csv.DictReader(stream)]
    draw = random.Random(0)
    for number, (name, size) in enumerate(zip(NAMES, DRAWN, strict=False), start=1):
        kept = [found[name][place] for place in sorted(draw.sample(range(len(found[name])), size))]
        found[f"drawn-{number}"] = [row | {"answer": f"{row['answer']} ({number})"} for row in kept]
    return found


def in_parts(whole: dict[str, Rows], many: int) -> dict[str, Rows]:
    """The same rows in `many` files of equal size, each with every question of its table."""
    parts = many // len(whole) + 1
    cut = {f"{name}-{k}": rows[k::parts] for name, rows in whole.items() for k in range(parts)}
    names = list(cut)
    # The last ones are put together until there are as many as asked for.
    while len(names) > many:
        last = names.pop()
        cut[names[len(names) - many]] += cut.pop(last)
    return cut


def write(folder: Path, held: dict[str, Rows]) -> list[Path]:
    """Write tables as CSV."""
    paths = [folder / f"{name}.csv" for name in held]
    for path, rows in zip(paths, held.values(), strict=True):
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
    return paths


def spent(paths: Sequence[Path], base: str, out: Path) -> tuple[float, float]:
    """Seconds of processor time and MB of peak memory of one run of the command."""
    given = [text for path in paths for text in ("--from", str(path))]
    command = [sys.executable, "-m", "misdirection", "--quiet", "judge", *given, "--base", base, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"judge failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    whole = tables()
    for held, base in ((whole, BASE), (in_parts(whole, 37), f"{BASE}-0")):
        rows = sum(map(len, held.values()))
        with tempfile.TemporaryDirectory() as name:
            paths = write(Path(name), held)
            turns = [spent(paths, base, Path(name) / f"out{turn}") for turn in range(TURNS)]
        seconds, memory = (min(column) for column in zip(*turns, strict=True))
        print(f"{rows:,} answers in {len(held)} files: {seconds:.2f} s of processor time, {memory:.0f} MB at most")


if __name__ == "__main__":
    main()
