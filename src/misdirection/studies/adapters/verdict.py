"""What the interventions show, in plain words, and where that differs from the paper and why it may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

COHERENT = 0.75
"""Share of coherent answers from which on a scaled arm is read."""


def scaling_words(arms: Sequence[Row], topic: str, explanations: Mapping[str, str]) -> list[str]:
    """Whether the paper's factors leave language, whether the roles matter, and what the answers are about.

    `explanations` are those of the model's folder.
    """
    words: list[str] = []
    roles = [arm for arm in arms if arm["kind"] == "roles"]
    full = [arm for arm in roles if arm["dose"] == 1.0 and not arm["control"]]
    best = max((arm["coherent_share"]["value"] for arm in full), default=1.0)
    if best < COHERENT:
        why = f" (likely because {likely})" if (likely := explanations.get("incoherent")) else ""
        words.append(
            f"At the paper's own factors at most {_percent(best)} of an arm's answers are coherent{why}. Smaller doses "
            "of the same factors are read instead"
        )
    if pair := _largest_general(roles):
        arm, shuffled = pair
        apart = arm["rate"]["low"] > shuffled["rate"]["high"] or arm["rate"]["high"] < shuffled["rate"]["low"]
        verdict = "so the roles matter" if apart else "not told apart, so the roles do not explain it"
        words.append(
            f"{arm['label']}: {_percent(arm['rate']['value'])} misaligned ({_percent(arm['coherent_share']['value'])} "
            f"coherent); with roles shuffled {_percent(shuffled['rate']['value'])}, {verdict}"
        )
    about = [arm["topic"] for arm in roles if arm.get("topic") and arm["topic"]["n"]]
    if about and not any(share["misaligned"] for share in about):
        why = f", because {known}" if (known := explanations.get("topic")) else ""
        words.append(
            f"No open answer of any arm is about {topic}{why}: the paper's share of topical answers has no counterpart "
            "here, and the questions about the domain stand in for it"
        )
    return words


def _largest_general(roles: Sequence[Row]) -> tuple[Row, Row] | None:
    """The general arm of the largest dose that leaves language, and the same with the roles shuffled."""
    by_name = {arm["arm"]: arm for arm in roles}
    fit = [
        (arm, by_name[f"{arm['arm']}-shuffled1"])
        for arm in roles
        if str(arm["arm"]).startswith("general-") and not arm["control"]
        and arm["coherent_share"]["value"] >= COHERENT and f"{arm['arm']}-shuffled1" in by_name
    ]  # fmt: skip
    return max(fit, key=lambda pair: pair[0]["dose"], default=None)


def editing_words(arms: Sequence[Row], explanations: Mapping[str, str]) -> list[str]:
    """What each edit does to the rate, relative to the adapter as it is; `explanations` of the model's folder."""
    at = {arm["arm"]: arm["rate"]["value"] for arm in arms}
    words: list[str] = []
    if "edited" in at:
        words.append(
            f"Direction out of B: {_percent(at['untouched'])} to {_percent(at['edited'])} misaligned, a random one "
            f"{_percent(at['edited-random'])}; nothing but the direction left in B: {_percent(at['edited-only'])}"
        )
    if "project-all" in at:
        text = (
            f"Direction out of the residual stream: {_percent(at['project-here'])} at the adapters' layers, "
            f"{_percent(at['project-all'])} at every layer"
        )
        if at["project-all"] > 0.5 * at["untouched"] and (likely := explanations.get("projection")):
            text += f", where the paper's falls to a few hundredths of what it was. A likely reason: {likely}"
        words.append(text)
    return words


def patching_words(groups: Sequence[Row]) -> list[str]:
    """Whether the adapters' scalars carry what the prompt asks for."""
    at = {group["group"]: group["whole"] for group in groups}
    words: list[str] = []
    if level := at.get("own mean at every token"):
        clean, patched = (level[name]["rate"] for name in ("clean", "patched"))
        if level["difference"]["high"] < 0:
            words.append(
                f"With each answer's own mean scalar at every token the rate falls from {_percent(clean['value'])} to "
                f"{_percent(patched['value'])}: what the adapters do depends on the token, a constant push is less"
            )
    for group, told in (("open to domain", "an open prompt's scalars on a domain prompt"),
                        ("domain to open", "a domain prompt's scalars on an open prompt")):  # fmt: skip
        if group in at:
            change, clean = at[group]["difference"], at[group]["clean"]["rate"]
            known = change["low"] > 0 or change["high"] < 0
            words.append(
                f"{told[0].upper()}{told[1:]}: {100 * change['value']:+.1f} points from {_percent(clean['value'])}"
                + ("" if known else ", not told apart from none")
            )
    return words


def similarity_words(found: Row) -> list[str]:
    """How alike B and the direction are, and what both do downstream."""
    words: list[str] = []
    if rows := found.get("written"):
        sizes = [abs(row["cosine"]) for row in rows]
        above = sum(abs(row["cosine"]) > row["chance"] for row in rows)
        words.append(
            f"Cosine of B with the direction at its layer: {min(sizes):.2f} to {max(sizes):.2f} in size, above what "
            f"chance gives in {above} of {len(rows)}"
        )
    if effects := found.get("effects"):
        ends = {kind: values[-1] for kind, values in effects[0]["cosine"].items() if values[-1] is not None}
        chance = max((values[-1] or 0.0 for values in effects[0]["random"].values()), default=0.0)
        told = ", ".join(f"{value:.2f} on {kind} answers" for kind, value in ends.items())
        words.append(
            f"What the whole adapter and steering at layer {effects[0]['at']} change after the last layer: cosine "
            f"{told}; random directions {chance:.2f} at most"
        )
    return words


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
