"""`statistics.powered_mean` beside the package ppi-python: the same mean and interval, to the last digits.

In an environment of its own, for ppi-python brings numba and more:

    python -m venv ppi && ppi/bin/pip install ppi-python && PYTHONPATH=src:. ppi/bin/python benchmarks/ppi_python.py

`--fixture` prints what stands in `tests/statistics/ppi_python.json`.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from typing import Any

import numpy as np

CASES = ((0, 40, 300, 0.9), (1, 12, 50, 0.6), (2, 200, 2000, 0.0), (3, 60, 340, -0.7), (4, 30, 30, 1.0))
"""Seed, dear values, other values, how well the cheap judge knows (0 not at all, negative: the reverse)."""


def case(seed: int, n: int, more: int, knows: float) -> dict[str, list[float]]:
    """Dear values of 0 and 1, and cheap ones."""
    random = np.random.default_rng(seed)
    dear = (random.random(n + more) < 0.25).astype(float)
    cheap = np.round(np.clip(0.3 + knows * 0.5 * (dear - 0.3) + random.normal(0, 0.15, n + more), 0, 1), 6)
    return {"dear": dear[:n].tolist(), "cheap": cheap[:n].tolist(), "rest": cheap[n:].tolist()}


def theirs(values: dict[str, list[float]], factor: float | None, level: float) -> dict[str, float]:
    """The mean and interval of ppi-python."""
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate

    arrays = [np.array(values[name]) for name in ("dear", "cheap", "rest")]
    low, high = ppi_mean_ci(*arrays, alpha=1 - level, lam=factor)
    value = ppi_mean_pointestimate(*arrays, lam=factor)
    return {name: float(np.ravel(x)[0]) for name, x in (("value", value), ("low", low), ("high", high))}


def main() -> None:
    """Compare, or print the fixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixture", action="store_true", help="print the fixture of the tests")
    rows: list[dict[str, Any]] = []
    for made in CASES:
        for factor in (None, 0.0, 1.0):
            for level in (0.95, 0.9):
                rows.append({"case": made, "factor": factor, "level": level, **theirs(case(*made), factor, level)})
    if parser.parse_args().fixture:
        print(json.dumps({"ppi-python": version("ppi-python"), "rows": rows}, indent=1))
        return
    from misdirection.statistics.prediction_powered import powered_mean

    worst = 0.0
    for row in rows:
        ours = powered_mean(**case(*row["case"]), factor=row["factor"], level=row["level"])
        worst = max(worst, *(abs(getattr(ours, name) - row[name]) for name in ("value", "low", "high")))
    print(f"{len(rows)} means and intervals, ppi-python {version('ppi-python')}: largest difference {worst:.2g}")


if __name__ == "__main__":
    main()
