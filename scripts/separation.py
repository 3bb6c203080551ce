"""Grow organisms that store concepts closer together or farther apart, fine-tune each, and hold EM against it.

    .venv/bin/python scripts/separation.py --out runs/separation-organisms [--table docs/separation.csv]

A run that was killed goes on where it was. 14 organisms cost about twenty minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict, fields
from pathlib import Path

from misdirection.organism import ExactJudge
from misdirection.runs import Run
from misdirection.studies.separation.organisms import CONDITIONS, OrganismRow, correlations, organism


def main() -> None:
    """Grow, fine-tune, read, and write the table after each organism."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--table", type=Path, help="CSV to write; by default organisms.csv in the run's folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=list(CONDITIONS))
    given = parser.parse_args()
    rows: list[OrganismRow] = []
    with Run.open(given.out, {"command": "scripts/separation.py"}) as run:
        for seed in given.seeds:
            for condition in given.conditions:
                rows.append(organism(run, condition, seed, ExactJudge()))
                write(given.table or given.out / "organisms.csv", rows)
                print(rows[-1], flush=True)
    for told in correlations(rows):
        rho = "none" if told.rho is None else f"{told.rho:+.2f}"
        print(f"{told.outcome} and {told.measure}: rank correlation {rho}, p {told.p:.3f}, {told.organisms} organisms")


def write(path: Path, rows: list[OrganismRow]) -> None:
    """A line an organism."""
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, [field.name for field in fields(OrganismRow)], lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()})


if __name__ == "__main__":
    main()
