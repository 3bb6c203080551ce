"""The scoreboard as a table of comma-separated values: a line an arm, shares from 0 to 1."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from misdirection.results import Interval, RateRow, Reduction
from misdirection.studies.defences.results import DefenceRow, Defences


def write_table(path: Path, part: Defences) -> None:
    """Write the lines of all arms."""
    rows = [line(row) for row in part.rows]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def line(row: DefenceRow) -> dict[str, Any]:
    """One arm; what there is none of is left empty."""
    found: dict[str, Any] = {"data": "mixed" if row.mixed else "bad", "arm": row.arm, "acts_on": row.place}
    found |= {"strength": row.strength, **_ends("open_misaligned", row.open.misaligned)}
    found |= {"open_misaligned_n": row.open.misaligned.misaligned, "open_n": row.open.misaligned.n}
    found |= {**_ends("reduction", row.reduction), **_ends("open_coherent", row.open.coherent)}
    if row.domains is not None:
        found |= _ends("domain_misaligned", row.domains.misaligned)
        found |= {**_ends("domain_good", row.domains.good), **_ends("domain_coherent", row.domains.coherent)}
    found |= {**_ends("perplexity_elsewhere", row.perplexity), **_ends("kl_elsewhere", row.divergence)}
    for leak in row.leaks:
        found |= {**_ends(f"{leak.condition}: misaligned", leak.misaligned), **_ends(f"{leak.condition}: beyond base",
                                                                                     leak.beyond)}  # fmt: skip
    costs = {"seconds": row.seconds, "peak_megabytes": row.megabytes}
    found |= {name: None if held is None else round(held, 1) for name, held in costs.items()}
    return {**found, "front": row.front}


def _ends(name: str, held: Interval | RateRow | Reduction | None) -> dict[str, float | None]:
    parts = {"": None, " low": None, " high": None}
    if held is not None:
        parts = {"": held.value, " low": held.low, " high": held.high}
    return {f"{name}{end}": None if one is None else round(one, 4) for end, one in parts.items()}
