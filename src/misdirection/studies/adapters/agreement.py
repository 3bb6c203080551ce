"""Whether interventions agree with the roles that probes give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from random import Random
from typing import Any

import numpy as np

from misdirection.adapters.roles import Finding
from misdirection.studies.kit.sentences import p_text

COHERENT = 0.75
DRAWS = 5000
"""Shuffles where there are too many layers to try every order."""


def agreement(roles: Sequence[Finding], parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rank correlation of each layer's weight in the general probe with what leaving it out, or it alone, does.

    If a layer that the probe of misalignment uses is one that makes the model misaligned, leaving it out lowers the
    rate on open questions and it alone raises it. p values are of a permutation over layers, two-sided.

    Args:
        roles: Of the layers.
        parts: Of `adapter_interventions`; None comes out where the layers were not left out one by one.
    """
    held = parts.get("adapter_leave_out")
    if not held:
        return None
    arms = {row["arm"]: float(row["rate"]["value"]) for row in held["arms"]}
    whole, base = float(held["untouched"]["value"]), float(held["base"]["value"])
    rows: list[dict[str, Any]] = []
    for item in roles:
        layer = item.name.removeprefix("layer ")
        if f"without-{layer}" in arms and f"only-{layer}" in arms:
            rows.append(
                {"layer": int(layer), "role": item.role, "general": item.shares[0], "domain": item.shares[1],
                 "drop": whole - arms[f"without-{layer}"], "alone": arms[f"only-{layer}"] - base}
            )  # fmt: skip
    if len(rows) < 3:
        return None
    tests = {
        name: spearman([row["general"] for row in rows], [row[name] for row in rows]) for name in ("drop", "alone")
    }
    means = {role: _means([row for row in rows if row["role"] == role]) for role in ("general", "domain", "neither")}
    words = [text for role in ("general", "domain") if (text := arm_words(parts.get("adapter_scaling"), role))]
    return {"layers": rows, "tests": tests, "means": means, "sentence": _sentence(tests, len(rows)), "arms": words}


def arm_words(part: Mapping[str, Any] | None, role: str) -> str:
    """What the layers of one role do alone, scaled up, beside as many layers dealt out at random.

    Of the doses at which both keep `COHERENT` of their answers coherent, the one with the most misaligned open answers.
    """
    rows = {row["arm"]: row for row in (part or {}).get("arms", [])}
    pairs = [(row, rows.get(f"{name}-shuffled1")) for name, row in rows.items() if name.rpartition("-")[0] == role]
    fit = [
        (row, other)
        for row, other in pairs
        if other and min(side["coherent_share"]["value"] for side in (row, other)) >= COHERENT
    ]
    if not fit:
        return ""
    row, other = max(fit, key=lambda pair: pair[0]["rate"]["value"])
    told = [_open_and_inside(side) for side in (row, other)]
    return f"{row['label'][:1].upper()}{row['label'][1:]}: {told[0]}; with the roles shuffled {told[1]}."


def _open_and_inside(row: Mapping[str, Any]) -> str:
    text = f"{100 * row['rate']['value']:.0f} % misaligned on open questions"
    inside = row.get("inside")
    return text + (f" and {100 * inside['rate']['value']:.0f} % on the domain's" if inside else "")


def spearman(first: Sequence[float], second: Sequence[float]) -> dict[str, float | None]:
    """Rank correlation with the p value of a permutation test: every order up to seven values, else random ones."""
    from scipy.stats import rankdata

    a, b = (np.asarray(rankdata(side), dtype=np.float64) for side in (first, second))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return {"rho": None, "p": None}
    rho = float(a @ b) / scale
    if len(a) <= 7:
        found = [float(a @ b[list(order)]) / scale for order in permutations(range(len(a)))]
        return {"rho": rho, "p": sum(abs(value) >= abs(rho) - 1e-12 for value in found) / len(found)}
    random, order = Random(0), list(range(len(a)))
    found = []
    for _ in range(DRAWS):
        random.shuffle(order)
        found.append(float(a @ b[order]) / scale)
    hits = sum(abs(value) >= abs(rho) - 1e-12 for value in found)
    return {"rho": rho, "p": (1 + hits) / (1 + DRAWS)}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("drop", "alone")
    return {"n": len(rows), **{name: sum(row[name] for row in rows) / len(rows) if rows else None for name in names}}


def _sentence(tests: Mapping[str, Mapping[str, Any]], n: int) -> str:
    drop, alone = tests["drop"], tests["alone"]
    if drop["rho"] is None or alone["rho"] is None:
        return "Whether interventions agree cannot be said: leaving layers out, or one alone, changes nothing."
    agrees = [test["rho"] > 0 and test["p"] < 0.05 for test in (drop, alone)]
    word = "agree" if all(agrees) else "agree in part" if any(agrees) else "do not confirm the roles"
    return (
        f"Interventions {word}: over {n} layers the weight in the probe of misalignment and the drop in misaligned "
        f"open answers when a layer is left out have rank correlation {drop['rho']:.2f} ({p_text(drop['p'])}), and "
        f"with the rise when it is on alone {alone['rho']:.2f} ({p_text(alone['p'])})."
    )
