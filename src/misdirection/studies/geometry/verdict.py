"""What the study of feature geometry says in plain words, and the paper's claims beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

PAPER = (
    "arXiv 2605.00842 (Gemma 2, Llama 3.1 8B, gpt-oss 20B; code, health, career and legal advice) reports that "
    "inducing latents lie nearer to toxic ones than latents of correct data do, most clearly in earlier layers, and "
    "that raising one latent strengthens others in accordance with their similarity."
)
ALPHA = 0.05
LISTS = {"inducing": "inducing", "toxic": "toxic", "good": "good data's"}
RANKED = {"similarity": "similarity of risen latents", "drift": "cosine of the drift"}


def verdict(part: Row) -> dict[str, Any]:
    """One sentence with the main figures, and in what they differ from the paper's claims."""
    told = [text for text in (nearer(part, "good"), spilled(part.get("law"))) if text]
    details = [nearer(part, "random"), shared(part), beside(part), by_reduction(part), by_layer(part)]
    details = [text for text in details if text]
    details += [*law_details(part.get("law")), *course_details(part.get("course"))]
    if not told:
        return {"state": "unclear", "sentence": "No two sets of latents could be compared.", "details": details}
    return {"state": "finding", "sentence": "; ".join(told) + ".", "details": details}


def tests(part: Row, control: str, reduction: str | None = None, target: str = "toxic") -> list[Row]:
    """The rows of one family of comparisons that could be tested."""
    chosen = (target, control, reduction or part["reduction"])
    return [r for r in part["rows"] if (r["target"], r["control"], r["reduction"]) == chosen and r["p"] is not None]


def verdicts(rows: Sequence[Row]) -> tuple[int, int]:
    """How many differences are above, and below, zero after correction."""
    sure = [r for r in rows if r["q"] < ALPHA]
    return sum(r["difference"] > 0 for r in sure), sum(r["difference"] < 0 for r in sure)


def nearer(part: Row, control: str) -> str:
    """Inducing against control latents, over layers and domains."""
    rows = tests(part, control)
    if not rows:
        return ""
    above, below = verdicts(rows)
    who = {"good": "latents that good data raises", "random": "random latents of like firing rate"}[control]
    positive = sum(r["difference"] > 0 for r in rows)
    ends = [sum(r[side] for r in rows) / len(rows) for side in ("first", "second")]
    text = (
        f"Inducing latents lie nearer to toxic ones than {who} in {above} of {len(rows)} layers and domains "
        f"(false discovery rate 5 %; mean similarity {ends[0]:.3f} against {ends[1]:.3f}, difference above zero in "
        f"{positive})"
    )
    text += f", and farther in {below}" if below else ""
    left = tests(part, control, target="beside")
    if left and control == "good":
        text += (
            f", and in {verdicts(left)[0]} of {len(left)} once the direction in which toxic texts differ is taken out"
        )
    return text + ("." if control == "random" else "")


def shared(part: Row) -> str:
    """How many latents the lists have in common."""
    lists = part["lists"]
    if not lists:
        return ""
    sums = {side: sum(r[side]["shared"] for r in lists) for side in ("inducing", "good")}
    chance = sum(r["inducing"]["expected"] for r in lists)
    out = (
        "They are left out of the comparison."
        if part["shared"] == "drop"
        else "Only their pair with itself is left out."
    )
    return (
        f"Over all layers and domains {sums['inducing']} of {part['top'] * len(lists)} inducing latents are toxic ones "
        f"themselves, {sums['good']} of the good data's; chance would give {chance:.0f}. {out}"
    )


def beside(part: Row) -> str:
    """What is left of the difference without the direction in which toxic and harmless texts differ."""
    rows = tests(part, "good", target="beside")
    if not rows:
        return ""
    above, below = verdicts(rows)
    ends = [sum(r[side] for r in rows) / len(rows) for side in ("first", "second")]
    return (
        "Latents that two differences pointing alike put on their lists share that direction by how they were chosen. "
        f"With the decoded toxic difference taken out of all decoder vectors, inducing latents are nearer in {above} "
        f"and farther in {below} of {len(rows)} ({ends[0]:.3f} against {ends[1]:.3f})."
    )


def by_reduction(part: Row) -> str:
    """Whether the other readings of similarity agree."""
    told: list[str] = []
    for reduction in ("mean", "max", "nearest"):
        rows = tests(part, "good", reduction)
        if rows and reduction != part["reduction"]:
            above, below = verdicts(rows)
            told.append(f"by '{reduction}' nearer in {above} and farther in {below} of {len(rows)}")
    return f"Against good data's latents, {'; '.join(told)}." if told else ""


def by_layer(part: Row) -> str:
    """At which layer the difference is largest, in each domain."""
    rows = tests(part, "good")
    if len(part["layers"]) < 2 or not rows:
        return ""
    means = {
        layer: [r["difference"] / spread(r) for r in rows if r["layer"] == layer and spread(r) > 0]
        for layer in part["layers"]
    }
    scores = {layer: sum(held) / len(held) for layer, held in means.items() if held}
    if not scores:
        return ""
    told = ", ".join(f"layer {layer}: {score:+.1f}" for layer, score in scores.items())
    top = max(scores, key=lambda layer: scores[layer])
    return (
        f"The difference in standard deviations of its null, mean over domains: {told}; largest at layer {top} "
        "(the paper: closest in earlier layers)."
    )


def spread(row: Row) -> float:
    """About the standard deviation of the null."""
    return (row["high"] - row["low"]) / 3.92


def _fit(law: Row, kind: str, name: str, what: str) -> Row | None:
    held = next((k for k in law["kinds"] if k["kind"] == kind), None)
    found = held and held["groups"]["all"]["fits"][name][what]
    return found if found and found["value"] is not None else None


def spilled(law: Row | None) -> str:
    """The law, from the exact case to the gradient step on data."""
    if not law:
        return ""
    told: list[str] = []
    for kind, label in (("steer", "steering along it"), ("latent", "one gradient step on it"),
                        ("data", "one gradient step on data that shows it")):  # fmt: skip
        if found := _fit(law, kind, "steady cosine", "r2"):
            told.append(f"{_r2(found)} after {label}")
    return f"the cosine with a raised latent explains of the others' change R² = {', '.join(told)}" if told else ""


def _r2(found: Row) -> str:
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def law_details(law: Row | None) -> list[str]:
    """Slopes beside what the derivation expects."""
    if not law:
        return []
    found: list[str] = []
    exact = _fit(law, "steer", "steady encoder", "r2")
    if exact:
        gap = max(k["groups"]["all"]["gap"] for k in law["kinds"])
        found.append(
            f"Where a latent fires before and after, its change is the encoder's product with the displacement, to "
            f"{gap:.1g} of the displacement, under every update; against <e_j, d_i> R² under steering is "
            f"{exact['value']:.4f}."
        )
    for kind in law["kinds"]:
        held = kind["groups"].get("inducing", kind["groups"]["all"])
        slope, along, share = held["fits"]["steady cosine"]["slope"], held["along"], held["share"]
        if slope["value"] is not None and along["value"] is not None:
            found.append(
                f"{kind['label'].capitalize()}: slope against the cosine {slope['value']:.2f} "
                f"({slope['low']:.2f} to {slope['high']:.2f}) per unit of displacement, tied weights would give "
                f"{along['value']:.2f}; the mean displacement has cosine {share['value']:.2f} with the latent's vector "
                f"(inducing latents)."
            )
    return found


def course_details(course: Row | None) -> list[str]:
    """Similarity over training, beside the rate of misaligned answers."""
    if not course:
        return []
    return [_layer(layer, course) for layer in course["layers"]]


def _layer(layer: Row, course: Row) -> str:
    """The first and the last checkpoint, and the rank correlations, at one layer."""
    sets = layer["sets"]
    if any(sets[name]["similarity"][-1] is None for name in sets):
        return f"Layer {layer['layer']}: no latent rises enough to be compared."
    ends = [
        ", ".join(f"{sets[name][what][-1]:.3f} to {label}" for name, label in LISTS.items())
        for what in ("similarity", "drift")
    ]
    law, toxic = layer["law"][-1], sets["toxic"]
    early = f"to toxic ones {toxic['drift'][0]:.3f} already at step {layer['steps'][0]}"
    text = (
        f"Layer {layer['layer']}, last checkpoint: similarity of the {course['risen']} latents that rose most "
        f"{ends[0]} latents; mean cosine of the drift {ends[1]} latents ({early}). The change of latents in no "
        f"inducing list against their cosine with the mean inducing vector has R² {_or(law['r2'])}."
    )
    ranks = [f"{toxic['ranks'][what]['value']:.2f} ({label})" for what, label in RANKED.items() if toxic["ranks"][what]]
    n = next((toxic["ranks"][what]["n"] for what in RANKED if toxic["ranks"][what]), 0)
    if ranks:
        text += f" Rank correlation with the misaligned rate over {n} checkpoints, toxic latents: {', '.join(ranks)}."
    return text


def _or(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
