"""Which removal of the direction is the best one, and what is said of it: one that leaves the model able to speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.statistics import is_found
from misdirection.studies.kit.sentences import p_text

Row = Mapping[str, Any]


def best_cure(rows: Sequence[Row], coherent_share: float) -> int | None:
    """Place of the removal with the largest fall of the rate among those that leave the model able to speak.

    That is, that keep at least `coherent_share` of the untouched model's share of coherent answers: a model that
    babbles is never misaligned. None where no removal does, or there was nothing to reduce.

    Args:
        rows: Of the removals, the untouched model first.
        coherent_share: 0 .. 1.
    """
    floor = coherent_share * rows[0]["coherent_share"]["value"] if rows else 0.0
    real = [i for i, row in enumerate(rows) if row["reduction"] and not row["control"]]
    kept = [i for i in real if rows[i]["coherent_share"]["value"] >= floor]
    return max(kept, key=lambda i: rows[i]["reduction"]["value"], default=None)


def removal_texts(rows: Sequence[Row], coherent_share: float) -> list[str]:
    """What is said of the best removal at the head of a report: beside the random ones, or that none leaves speech."""
    real = [row for row in rows if row["reduction"] and not row["control"]]
    if not real:
        return []
    place = best_cure(rows, coherent_share)
    if place is None:
        most = max(real, key=lambda row: row["coherent_share"]["value"])
        shares = [100 * row["coherent_share"]["value"] for row in (most, rows[0])]
        return [
            f"No removal leaves the tuned model able to speak: at best {shares[0]:.0f} % of its answers stay coherent "
            f"({most['label']}), of {shares[1]:.0f} % before; their low rates say little."
        ]
    best = rows[place]
    coherent = 100 * best["coherent_share"]["value"]
    text = f"Best removal: {best['label']}: the rate falls by {100 * best['reduction']['value']:.0f} %"
    text += "" if is_found(best["difference"]["p"]) else f" (not found at p < 0.05: {p_text(best['difference']['p'])})"
    text += f" to {100 * best['rate']['value']:.1f} %, with {coherent:.0f} % of answers coherent"
    controls = [row for row in rows if row["control"] and row["reduction"] and "random" in row["arm"]]
    random = [100 * row["reduction"]["value"] for row in controls]
    told = f"; random directions, removed alike, by {min(random):.0f} to {max(random):.0f} %" if random else ""
    return [f"{text}{told}."]


def marked(rows: list[dict[str, Any]] | None, coherent_share: float) -> list[dict[str, Any]] | None:
    """The removals, the best of them marked."""
    place = best_cure(rows, coherent_share) if rows else None
    return rows and [row | {"best": i == place} for i, row in enumerate(rows)]
