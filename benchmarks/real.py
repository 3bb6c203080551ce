"""Speed on a real model: sampling, training, likelihoods and the local judge, each against plain libraries.

    python -m benchmarks.real --model FOLDER [--before FOLDER] [--dtype bfloat16] [--parts a,b,c,d]

Nothing is fetched: `--model` is a folder of ordinary float weights. Outputs are compared first, then the sides run in
turn, each in a process of its own and on one thread; ratios are of processor time, which other programs on the machine
move less than the clock. `--before` names a checkout of an earlier state of this project to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

PARTS = {"a": "sampling", "b": "training", "c": "likelihood", "d": "judge"}
RIVALS = {"a": ("generate", "generate-mended"), "b": ("peft",), "c": ("decoder",), "d": ()}
FLAGS = ("avx512f", "avx512_bf16", "amx_bf16")


def flags() -> str:
    """What the processor can do that matters here."""
    file = Path("/proc/cpuinfo")
    words = set(file.read_text().split()) if file.exists() else set[str]()
    return " ".join(f"{flag}{'' if flag in words else ' missing'}" for flag in FLAGS)


def run(side: str, part: str, options: argparse.Namespace, root: Path | None = None) -> dict[str, Any]:
    """One side in a process of its own: processor seconds, and what is compared."""
    source = (root or Path(__file__).resolve().parents[1]) / "src"
    places = [str(source), str(Path(__file__).resolve().parents[1])]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.real_sides", side, part, options.model, options.dtype],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def check(part: str, ours: dict[str, Any], theirs: dict[str, Any], side: str, loose: float) -> None:
    """Refuse to time sides that do not give the same.

    Raises:
        SystemExit: They do not.
    """
    if "values" not in theirs:
        return
    worst = max(abs(a - b) for a, b in zip(ours["values"], theirs["values"], strict=True))
    if worst > loose:
        sys.exit(f"{PARTS[part]}: ours and '{side}' differ by {worst:.3g}, more than {loose:g}")
    print(f"  equal to '{side}' within {worst:.2g}", flush=True)


def main() -> None:
    """Print one line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    loose = 0.05 if options.dtype == "bfloat16" else 1e-3
    print(f"{options.model}, {options.dtype}, one thread; {flags()}", flush=True)
    for part in options.parts.split(","):
        sides = {"ours": None, **({"before": options.before} if options.before else {}), **dict.fromkeys(RIVALS[part])}
        spent: dict[str, list[float]] = {side: [] for side in sides}
        for repeat in range(options.repeats):
            found = {side: run(side, part, options, root) for side, root in sides.items()}
            for side, result in found.items():
                if repeat == 0 and side != "ours":
                    check(part, found["ours"], result, side, loose)
                spent[side].append(result["seconds"])
        unit, work = found["ours"]["unit"], found["ours"]["work"]
        for side, seconds in spent.items():
            ratio = median(b / a for a, b in zip(spent["ours"], seconds, strict=True))
            rate = work / median(seconds)
            print(
                f"{PARTS[part]:10} {side:16} {median(seconds):7.1f} s {rate:8.1f} {unit}/s {ratio:6.2f} x", flush=True
            )


if __name__ == "__main__":
    main()
