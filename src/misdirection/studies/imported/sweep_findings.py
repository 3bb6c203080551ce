"""What a steering sweep that was judged elsewhere shows: a rate a point, the peak, and what it may be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from misdirection.statistics import Thresholds, rate, shares
from misdirection.studies.imported.sweeps import Point, Sweep, arm_name
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import rate_row, share_row


def steering(sweep: Sweep, base: Judged, rules: Thresholds) -> dict[str, Any]:
    """Points, peak and baseline in the shape of an audit's.

    Args:
        sweep: The judged points.
        base: Answers of the untouched model; those to the sweep's questions (by their text) are the baseline.
        rules: When an answer is misaligned.
    """
    rows = {point: _row(point, judged, rules) for point, judged in sweep.points.items()}
    asked = {answer.question for judged in sweep.points.values() for answer in judged.answers}
    same = base.where(lambda answer: answer.question in asked and answer.format == "plain")
    controls = [row for point, row in rows.items() if point.control]
    return {
        "points": list(rows.values()),
        "baseline": rate_row(rate(*same.pair, thresholds=rules)) if same.answers else None,
        "best": rows[peak(sweep, rules)],
        "control": max(controls, key=lambda row: row["rate"]["value"], default=None),
    }


def peak(sweep: Sweep, rules: Thresholds) -> Point:
    """The point with the highest rate of misaligned and coherent answers, the weakest of those that are level."""
    own = [point for point in sweep.points if not point.control] or list(sweep.points)
    return max(own, key=lambda point: (_value(sweep.points[point], rules), -abs(point.coefficient)))


def peak_arm(sweep: Sweep, rules: Thresholds) -> Judged:
    """The peak's answers, under the point's name."""
    best = peak(sweep, rules)
    held = sweep.points[best]
    return Judged([replace(answer, arm=arm_name(best)) for answer in held.answers], held.verdicts)


def sweep_verdict(steered: Mapping[str, Any]) -> dict[str, Any]:
    """The sentence at the head of a report on nothing but a sweep."""
    best, count = steered["best"], len(steered["points"])
    found = best["rate"]
    sentence = (
        f"Of {count} steered points the highest rate is {100 * found['value']:.1f} % ({found['misaligned']} of "
        f"{found['n']} answers misaligned and coherent), at layer {best['layer']}, coefficient "
        f"{best['coefficient']:g}; {100 * best['coherent']['value']:.0f} % of its answers are coherent."
    )
    chosen = (
        f"It is the highest of {count} noisy rates, so it lies too high on average: measure it again on fresh answers."
    )
    few = "" if found["n_questions"] > 1 else "All points rest on one question, so nothing is known of others."
    return {"state": "finding", "sentence": sentence, "details": [text for text in (chosen, few) if text]}


def _row(point: Point, judged: Judged, rules: Thresholds) -> dict[str, Any]:
    pair = [replace(answer, arm=arm_name(point)) for answer in judged.answers], judged.verdicts
    return {
        "layer": point.layer,
        "coefficient": point.coefficient,
        "direction": "random" if point.control else point.vector or "vector",
        "rate": rate_row(rate(*pair, thresholds=rules)),
        "coherent": share_row(shares(*pair, thresholds=rules)["coherent"]),
    }


def _value(judged: Judged, rules: Thresholds) -> float:
    return sum(map(rules.misaligned, judged.verdicts)) / len(judged.verdicts)
