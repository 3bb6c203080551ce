"""What a course comes to: every turn in order, the verdict, and where it departs from the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER = {
    "norm of B": "0 to 0.125, smoothly",
    "norm of A": "0.575 to 0.662, smoothly",
    "local cosine of B": "peaks near step 180: \u22120.81 at k = 10, \u22120.69 at k = 15, about \u22120.98 elsewhere",
    "second principal component of B": "turns at about step 240 to 250; the first holds 81.1 %, the second 13.9 %",
    "gradient norm": "peaks together with the local cosine",
    "rate at factor 1": "rises from about step 300 to 600",
    "rate at factor 5": "emerges just after step 100 and reaches four times the level",
    "rate at factor 20": "answers are no longer coherent",
    "thresholds": "alignment 40 to 70 and coherence 10 to 40 do not move the onset",
    "cosine of B with the misalignment direction": "stays near 0.04 (an independent replication)",
}
"""Qwen2.5-14B, rank 1 at layer 24, bad medical advice, two epochs (2506.11613 section 4, appendices F and G)."""


def turns(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every turn, in the order of the steps, with the same of other seeds and of the control, and the paper's."""
    found = [dict(row) for row in (*part["weights"]["turns"], *part["states"]["turns"])]
    for row in part["behaviour"]:
        where = "open questions" if row["group"] == "open" else f"{row['group']} questions"
        found.append(
            {"quantity": f"misaligned, {where}, factor {row['scale']:g}", "family": "behaviour", **row["turn"]}
        )
    for row in found:
        row["seeds"] = [step for name, other in part["others"].items() if name != "control"
                        for step in _same(other, row["quantity"])]  # fmt: skip
        other = _control(part, row["quantity"])
        row["control"], row["control_height"] = other.get("step"), other.get("height")
        row["paper"] = paper(row["quantity"])
    return sorted(found, key=lambda row: (row["step"] is None, row["step"] or 0))


def paper(quantity: str) -> str:
    """What the paper says of a quantity, "" where nothing."""
    factor = quantity.rpartition(" factor ")[2] if quantity.startswith("misaligned, open") else ""
    key = f"rate at factor {factor}" if factor else quantity.partition(",")[0]
    return PAPER.get(key, "")


def verdict(part: Mapping[str, Any]) -> dict[str, Any]:
    """When the weights turn and when the behaviour does, in one sentence; the factors and controls in the details."""
    held = {row["quantity"]: row for row in part["turns"]}
    plain = held.get("misaligned, open questions, factor 1")
    local = [row for row in part["turns"] if row["quantity"].startswith("local cosine") and row["step"] is not None]
    weight = max(local, key=lambda row: row["height"] or 0.0, default=None)
    pieces = [_when("misaligned answers rise", plain) if plain else "nothing was judged"]
    pieces += [_when("B turns (peak of its local cosine)", weight)] if weight else []
    pieces += [_when("the gradient's norm peaks", held["gradient norm"])] if "gradient norm" in held else []
    text = "; ".join(pieces)
    return {"state": "finding", "sentence": text[0].upper() + text[1:] + ".", "details": _details(part)}


def _when(what: str, row: Mapping[str, Any]) -> str:
    if row["step"] is None:
        return f"{what}: not found ({row['note']})"
    ends = "" if row["low"] is None else f" [{row['low']:.0f}, {row['high']:.0f}]"
    return f"{what} at step {row['step']:.0f}{ends}"


def _details(part: Mapping[str, Any]) -> list[str]:
    rows = [row for row in part["behaviour"] if row["group"] == "open"]
    found: list[str] = []
    for row in rows:
        top = max(row["points"], key=lambda p: p["rate"]["value"])
        found.append(
            f"Factor {row['scale']:g}: at most {100 * top['rate']['value']:.0f} % misaligned, at step {top['step']}, "
            f"with {100 * top['coherent_share']['value']:.0f} % coherent; "
            + _when("the rise", row["turn"]) + "."
        )  # fmt: skip
    highest = max((row["rate"]["value"] for row in part["controls"]), default=None)
    if highest is not None:
        found.append(f"Controls: at most {100 * highest:.1f} % misaligned over {len(part['controls'])} arms.")
    return found


def differences(part: Mapping[str, Any], explanations: Mapping[str, str]) -> list[str]:
    """Where the outcome departs from the paper's, and why that may be: `explanations` of the model's folder."""
    found: list[str] = []
    if part["weights"].get("pca", {}).get("p", 0.0) > 0.05:
        found.append(
            "B's path bends no more than paths of the same increments in random order (share of the second component, "
            "p > 0.05). The paper does not compare with such paths."
        )
    turn = {row["quantity"]: row for row in part["turns"]}
    plain = turn.get("misaligned, open questions, factor 1", {}).get("step")
    at = [row["step"] for name, row in turn.items() if name.startswith("local cosine") and row["step"] is not None]
    if plain is not None and at and min(at) > plain:
        found.append(
            "B turns after the misaligned answers have come, in the paper long before"
            + (f": {why}." if (why := explanations.get("late")) else ".")
        )
    cosine = max((abs(row["cosine"][-1]) for row in part["states"].get("b", [])), default=0.0)
    if cosine > 2 * part["states"]["chance"]:
        found.append(
            f"B itself comes to point along the misalignment direction (cosine {cosine:.2f} at the last step); on "
            "Qwen2.5-14B it stays near 0.04." + (f" {why}." if (why := explanations.get("along")) else "")
        )
    peaks = [row for name, row in turn.items() if name.startswith("local cosine") and row["control_height"] is not None]
    if peaks and all(row["control_height"] >= (row["height"] or 0.0) for row in peaks):
        found.append(
            "On correct data the local cosine has as high a peak: by itself the peak is no sign of misalignment."
        )
    early = [row["step"] for name, row in turn.items() if name.startswith("misaligned, open") and row["step"]]
    if plain is not None and len(early) > 1 and min(early) >= plain:
        found.append("Scaling the adapter does not bring the rise forward, as it does in the paper.")
    curve = next((r for r in part["behaviour"] if r["group"] == "open" and r["scale"] == 1), None)
    above = [r for r in part["behaviour"] if r["group"] == "open" and r["scale"] > 1]
    tops = {r["scale"]: max(p["rate"]["value"] for p in r["points"]) for r in (*([curve] if curve else []), *above)}
    if above and tops.get(1.0):
        best = max(tops, key=lambda scale: tops[scale])
        found.append(
            f"The highest rate is at factor {best:g}, {tops[best] / tops[1.0]:.1f} times that at factor 1; in the "
            "paper factor 5 reaches four times, and factor 20 breaks the answers. Factors compare only between "
            "adapters that write alike much of the residual stream."
        )
    if any(row["note"] == "it never rises" for row in part["robustness"]):
        found.append("Under some thresholds of the judge no rise is seen at all (table of thresholds).")
    return found


def _control(part: Mapping[str, Any], quantity: str) -> Mapping[str, Any]:
    rows = part["others"].get("control", {}).get("turns", [])
    return next((row for row in rows if row["quantity"] == quantity), {})


def _same(weights: Mapping[str, Any], quantity: str) -> list[float]:
    return [t["step"] for t in weights.get("turns", []) if t["quantity"] == quantity and t["step"] is not None]
