"""What the study of convergence says in plain words, and the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from misdirection.studies.convergence.likeness import HIGH

Row = Mapping[str, Any]

PAPER: dict[str, Any] = {
    "grid": {
        "rank1x9": "11.25 % (medical)", "rank32": "18.8 % (medical), 20.2 % (sport)",
        "rank1": "14 to 17 % (medical)", "full": "9 to 36 % by data set (2506.11613 section 3.4)",
    },
    "cosines": "three fine-tunes of Qwen2.5-14B: every pair above 0.8 in all but 4 of 48 layers (figure 12)",
    "removals": {
        "project layer-wise own": "11.25 to 0 % (nine rank-1 adapters, medical)",
        "project single own": "11.25 to 1 % (the same)",
        "project single same data, other preset": "18.8 % falls by 90 % (rank 32, medical)",
        "project single other data and preset": "20.2 % falls by 78 % (rank 32, sport)",
        "project one layer own": "17 to 4 % (one rank-1 adapter, appendix D)",
        "project random own": "within 10 % of the rate",
    },
}  # fmt: skip
"""arXiv 2506.11618 sections 2, 3.4, 3.5 and appendix D, on Qwen2.5-14B-Instruct, layer 24."""


def verdict(parts: Mapping[str, Any]) -> dict[str, Any]:
    """One sentence with the main figures, and where they differ from the paper's."""
    told = [text for text in (_cosines(parts.get("convergence")), _transfer(parts.get("transfer"))) if text]
    details = [*_alike(parts.get("convergence")), *_removed(parts)]
    if not told:
        return {"state": "unclear", "sentence": "Too few directions could be made to compare any.", "details": details}
    return {"state": "finding", "sentence": "; ".join(told) + ".", "details": details}


def _cosines(part: Row | None) -> str:
    if not part:
        return ""
    at = part["layer"]
    return (
        f"Directions of {len(part['names'])} fine-tunes have a mean cosine of {part['mean'][at]:.2f} at layer {at} "
        f"({part['lowest'][at]:.2f} to {part['highest'][at]:.2f})"
    )


def _transfer(part: Row | None) -> str:
    found = [row for row in (part or {}).get("pooled", []) if row["relation"] == "all others"]
    told = [f"{_points(row['rate'])} {_does(row['operation'])}" for row in found]
    return (
        f"one's removed from another takes {_points(found[0]['before'])} misaligned to {' or '.join(told)}"
        if told
        else ""
    )


def _alike(part: Row | None) -> list[str]:
    if not part:
        return []
    at, depth = part["layer"], len(part["mean"])
    whole = sum(share == 1 for share in part["above"])
    told = [
        f"Every pair lies above {HIGH} at {whole} of {depth} layers, {100 * part['above'][at]:.0f} % of the pairs at "
        f"layer {at}; in the paper all three pairs at 44 of 48 layers."
    ]
    if null := part.get("null"):
        told.append(
            f"Shuffled labels reach {null['free']['high'][at]:.2f} at layer {at} (97.5 %), and "
            f"{null['within']['high'][at]:.2f} when shuffled within questions: what the mix of questions alone gives."
        )
    if matched := part.get("matched"):
        told.append(
            f"With the same questions in both pools the mean cosine at layer {at} is {matched['mean'][at]:.2f} "
            f"({matched['lowest'][at]:.2f} to {matched['highest'][at]:.2f}); its shuffled labels reach "
            f"{matched['null']['high'][at]:.2f}."
        )
    if part.get("ceiling") and part["ceiling"][at] is not None:
        told.append(
            f"Equal directions would be measured at {part['ceiling'][at]:.2f} on average at layer {at}, for each is "
            "the mean of a finite number of answers."
        )
    return told


def _removed(parts: Mapping[str, Any]) -> list[str]:
    part: Row | None = parts.get("transfer")
    if not part:
        return []
    pooled = {(row["operation"], row["how"], row["relation"]): row for row in part["pooled"]}
    told = [_fell(part["rows"])]
    for operation in part["layers"]:
        random = pooled.get((operation, "random", "own"))
        if random:
            told.append(
                f"Random directions, {_does(operation)}: {_points(random['before'])} to {_points(random['rate'])}."
            )
    return [*told, *_why(pooled, parts)]


def _fell(rows: Sequence[Row]) -> str:
    others = [row for row in rows if row["how"] == "single" and row["relation"] != "own"]
    down = sum(row["q"] < 0.05 and row["difference"]["value"] < 0 for row in others)
    up = sum(row["q"] < 0.05 and row["difference"]["value"] > 0 for row in others)
    return f"Of {len(others)} removals of another's direction {down} lower the rate and {up} raise it (q < 0.05)."


def _why(pooled: Mapping[Any, Row], parts: Mapping[str, Any]) -> list[str]:
    """The paper's operation beside the paper's figures, and where it does less, what the place of zero says of it."""
    found = {
        "another's single direction": (_fall(pooled, "single", "all others"), "78 and 90 %", 0.78),
        "its own single direction": (_fall(pooled, "single", "own"), "91 %", 0.91),
        "each layer's own": (_fall(pooled, "layer-wise", "own"), "100 %", 1.0),
        "its own at one layer alone": (_fall(pooled, "one layer", "own"), "76 %", 0.76),
    }
    known = {name: row for name, row in found.items() if row[0] is not None}
    if not known:
        return []
    told = ", ".join(f"{name} {100 * (fall or 0):.0f} % (paper {paper})" for name, (fall, paper, _) in known.items())
    text = f"Falls of the rate under the paper's operation, projecting out: {told}."
    if not any((fall or 0) < least - 0.05 for fall, _, least in known.values()):
        return [text]
    at = parts["transfer"]["layers"]["project"]
    zero = [row["direction"]["zero"][at] for row in parts["grid"]["rows"] if row["direction"]]
    return [
        text,
        f"Where that is less than in the paper, a likely reason: projecting puts the component at zero, and zero lies "
        f"{100 * median(zero):.0f} % of the way from the aligned mean to the misaligned one at layer {at} (median over "
        f"fine-tunes, {100 * min(zero):.0f} to {100 * max(zero):.0f} %): not the aligned place in each.",
    ]


def _fall(pooled: Mapping[Any, Row], how: str, akin: str) -> float | None:
    row = pooled.get(("project", how, akin))
    return row["reduction"]["value"] if row and row["reduction"] else None


def _does(operation: str) -> str:
    return {"project": "projected out", "set": "set to the aligned mean"}.get(operation, operation)


def _points(rate: Row) -> str:
    return f"{100 * rate['value']:.1f} %"
