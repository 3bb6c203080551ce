"""What the study of narrow and general solutions says in words, and the paper's figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.training.objectives.kl import PAPER_VOCABULARY, PUBLISHED, per_token_weight

PAPER = {
    "rates": "a general steering vector on bad medical advice: 28 % of open answers misaligned and 52 % of in-domain "
    "ones; rank-1 and rank-32 adapters at layer 24 alike",
    "efficiency": "the general solution reaches a lower loss at a smaller norm",
    "stability": "the narrow solution loses more of what it learned when it is moved aside",
    "significance": "KL on web text at equal norm: general far above narrow and random",
    "mixed": "mixing in good answers of other domains isolates nothing: both rates fall together",
    "released": "without the KL term further training drifts back to the general solution",
    "cosine": "cosine of the general and the narrow B: 0.55",
}
"""Qwen2.5-14B, layer 24, "EM is Easy, Narrow Misalignment is Hard" (arXiv 2602.07852)."""


def published_weights() -> list[dict[str, Any]]:
    """The published weights of the KL term, and what they are per token in nats."""
    return [
        {"kind": kind, "published": weight, "vocabulary": PAPER_VOCABULARY, "per_token": per_token_weight(weight)}
        for kind, weight in PUBLISHED.items()
    ]


def easier(ease: Mapping[str, Any]) -> dict[str, str]:
    """Which solution each measure calls the easier one: "general", "narrow", or "neither" where intervals hold 0.

    Easier is: the lower loss at equal length, at both solutions' lengths; less lost when moved aside; the larger
    change of neutral text at equal length.
    """
    stable = [ease["stability"]["difference"]]
    signs = {
        "efficiency": _sign([row["difference"] for row in ease["efficiency"]["equal"]]),
        "stability": _sign(stable),
        "significance": -_sign([row["difference"] for row in ease["significance"]["equal"]]),
    }
    return {name: {1: "general", -1: "narrow", 0: "neither"}[sign] for name, sign in signs.items()}


def _sign(differences: Sequence[Mapping[str, Any]]) -> int:
    """1 where all intervals of narrow minus general lie above 0, -1 where all lie below, else 0."""
    if any(row["low"] is None for row in differences):
        return 0
    if all(row["low"] > 0 for row in differences):
        return 1
    return -1 if all(row["high"] < 0 for row in differences) else 0


def verdict(part: Mapping[str, Any], explanations: Mapping[str, str]) -> dict[str, Any]:
    """Whether a narrow solution was found, and which is the easier one; `explanations` of the model's folder."""
    kinds = list(part["ease"])
    votes = {kind: easier(part["ease"][kind]) for kind in kinds}
    told = "; ".join(f"{kind}: {_votes(votes[kind])}" for kind in kinds)
    found = [kind for kind in kinds if isolated(part, kind)]
    narrow = f"A narrow solution was found with {' and '.join(found)}" if found else "No narrow solution was found"
    if found and (rest := [kind for kind in kinds if kind not in found]):
        narrow += f", none with {' and '.join(rest)}"
    details = [
        text
        for kind in kinds
        for text in (_rates(part, kind), *_weak(part, kind), *_measures(part, kind, votes[kind], explanations))
    ]
    return {"state": "finding", "sentence": f"{narrow}. The easier one to learn, {told}.", "details": details}


def isolated(part: Mapping[str, Any], kind: str) -> bool:
    """Whether the narrow solution's rate in the domain is above all its others, interval above interval."""
    groups = next(r for r in part["arms"] if (r["kind"], r["solution"]) == (kind, "narrow"))["groups"]
    rates = {group: effect["rate"] for group, effect in groups.items()}
    inside = rates.pop(part["domain"], None)
    return inside is not None and all(inside["low"] > rate["high"] for rate in rates.values())


def _weak(part: Mapping[str, Any], kind: str) -> list[str]:
    if isolated(part, kind):
        return []
    return [
        f"{kind}: no weight isolated the domain, so what is called narrow in its measures is a weakened solution "
        "rather than a narrow one."
    ]


def _votes(votes: Mapping[str, str]) -> str:
    held = {side: [name for name, vote in votes.items() if vote == side] for side in ("general", "narrow", "neither")}
    return ", ".join(f"{side} by {' and '.join(names)}" for side, names in held.items() if names)


def _rates(part: Mapping[str, Any], kind: str) -> str:
    """Rates in the domain and on open questions of each solution."""
    inside = part["domain"]
    told: list[str] = []
    for name in ("general", "narrow", "mixed", "released"):
        row = next((r for r in part["arms"] if (r["kind"], r["solution"]) == (kind, name)), None)
        if row is not None:
            rates = [f"{_percent(row['groups'][g])} {g}" for g in part["groups"] if g in row["groups"]]
            told.append(f"{name} {', '.join(rates)}")
    return f"{kind}, misaligned answers ({inside} is the domain): {'; '.join(told)}."


def _percent(effect: Mapping[str, Any]) -> str:
    return f"{100 * effect['rate']['value']:.0f} %"


def _measures(
    part: Mapping[str, Any], kind: str, votes: Mapping[str, str], explanations: Mapping[str, str]
) -> list[str]:
    ease = part["ease"][kind]
    equal = {name: ease[name]["equal"][0] for name in ("efficiency", "significance")}
    lost = ease["stability"]["difference"]
    figures = {
        "efficiency": f"loss at the general one's length {equal['efficiency']['general']:.3f} general, "
        f"{equal['efficiency']['narrow']:.3f} narrow, nats a token",
        "stability": f"the narrow one loses {lost['value']:+.0f} points more when moved aside"
        + ("" if lost["low"] is None else f" ({lost['low']:+.0f} to {lost['high']:+.0f})"),
        "significance": f"KL on neutral text at the general one's length {equal['significance']['general']:.3f} "
        f"general, {equal['significance']['narrow']:.3f} narrow, nats a token",
    }
    return [f"{kind}, {name}: {figures[name]}. {_against(name, votes[name], explanations)}" for name in figures]


def _against(name: str, vote: str, explanations: Mapping[str, str]) -> str:
    if vote == "general":
        return "As in the paper."
    said = "The intervals do not decide" if vote == "neither" else "Other than in the paper"
    return f"{said}; a likely reason: {why}." if (why := explanations.get(name)) else f"{said}."
