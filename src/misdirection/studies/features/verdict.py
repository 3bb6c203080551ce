"""What the study of sparse features says in plain words, and the papers' figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.studies.kit.sentences import p_text

Row = Mapping[str, Any]

PAPER = {
    "lists": (
        "Papers: the top 100 latents by correlation with insecure code (2605.00842), the top 1,000 by mean activation "
        "increase over nine fine-tunes (2506.19823), of which ten turned the model; what such lists share has not been "
        "published."
    ),
}
NAMES = {"data": "the data", "model": "the model", "answers": "the answers"}
"""The lists in a sentence."""


def verdict(parts: Mapping[str, Any]) -> dict[str, Any]:
    """One sentence on what the lists share, and the figures behind it."""
    found: Sequence[Row] = parts["latents"]["lists"]
    details = [*map(_significance, found), *_pairs(parts["latent_overlap"]), *_domains(parts["latent_overlap"])]
    details = [*_both_ways(parts.get("latent_steering")), *_warned(parts.get("mixtures")), *details]
    details += [*_decomposed(parts.get("latent_decomposition")), *_steered(parts.get("latent_steering"))]
    if len(found) < 2:
        return {
            "state": "unclear", "sentence": "Fewer than two lists of latents could be made, so nothing can be shared.",
            "details": details,
        }  # fmt: skip
    return {"state": "finding", "sentence": _sentence(parts["latent_overlap"], found), "details": details}


def _sentence(part: Row, found: Sequence[Row]) -> str:
    names = [one["name"] for one in found]
    between: Row = part["between"]
    common = sum(row["count"] for row in between["intersections"] if len(row["lists"]) == len(names))
    lengths = [one["latents"] for one in between["lists"]]
    shortest = min(lengths)
    alive = min(row["alive"] for row in between["pairs"])
    chance = alive
    for length in lengths:
        chance *= length / alive
    told = " and ".join([", ".join(NAMES[name] for name in names[:-1]), NAMES[names[-1]]])
    pairs: Sequence[Row] = between["pairs"]
    odds = ", ".join(f"{row['one']} and {row['other']} {odds_text(row)}" for row in pairs)
    loud = ", ".join(f"{row['shuffled']['mean']:.0f} of their {row['shared']}" for row in pairs)
    many = f"all {len(names)}" if len(names) > 2 else "both"
    return (
        f"Of the {shortest} latents at the top, {common} stand in {many} lists: {told} ({chance:.1f} by chance). "
        f"Odds ratios: {odds}; lists of shuffled labels share {loud}."
    )


def odds_text(row: Row) -> str:
    """An odds ratio, which has no end where one list holds the other."""
    return "without end" if row["odds_ratio"] is None else f"{row['odds_ratio']:.1f}"


def _significance(one: Row) -> str:
    many = len(one["domains"])
    return (
        f"{NAMES[one['name']].capitalize()} ({one['title']}, {many} {'domain' if many == 1 else 'domains'}): "
        f"{one['significant']} of {one['alive']} live latents differ with q < 0.05, {one['significant_up']} of them "
        f"upwards; of the {len(one['rows'])} at the top {one['significant_in_list']}."
    )


def _pairs(part: Row) -> list[str]:
    return [
        f"{NAMES[row['one']].capitalize()} and {NAMES[row['other']]} share {row['shared']} ({row['expected']:.1f} by "
        f"chance among {row['alive']} live latents, odds ratio {odds_text(row)}, Fisher {p_text(row['p'])}); lists of "
        f"shuffled labels share {row['shuffled']['mean']:.1f} on average, 95 % up to {row['shuffled']['high']:.0f} "
        f"({p_text(row['shuffled']['p'])}); rank correlation of all live latents {row['ranks']:+.2f}."
        for row in part["between"]["pairs"]
    ]


def _domains(part: Row) -> list[str]:
    told: list[str] = []
    for held in part["domains"]:
        name = held["list"]
        shared = [row["shared"] for row in held["pairs"]]
        ranks = [row["ranks"] for row in held["pairs"]]
        told.append(
            f"Between domains, {NAMES[name]}: lists share {min(shared)} to {max(shared)} latents, rank correlations "
            f"{min(ranks):+.2f} to {max(ranks):+.2f}."
        )
    return told


def _decomposed(part: Row | None) -> list[str]:
    rows = [row for row in (part or {"rows": []})["rows"] if row.get("through")]
    if not part or not rows:
        return []
    random: Sequence[float] = part["random"]["omp"]["mean"]
    curves = [row["methods"]["omp"]["explained"] for row in rows]
    at = min(8, *map(len, curves), len(random))
    shares = [100 * curve[at - 1] for curve in curves]
    through = [100 * row["through"]["explained"] for row in rows]
    cosines = [row["through"]["cosine"] for row in rows]
    agree = [row["methods"]["omp"]["agreement"] for row in rows]
    return [
        f"{at} latents explain {_range(shares)} % of the fine-tunes' mean-difference directions, and "
        f"{100 * random[at - 1]:.0f} % of random vectors.",
        f"Through activations the latents account for {_range(through)} % of a direction (cosine "
        f"{min(cosines):.2f} to {max(cosines):.2f}); of the latents of the decomposition "
        f"{_range([100 * one['overlap'] for one in agree])} % are among as many of the largest parts "
        f"({100 * agree[0]['chance']:.0f} % by chance), {_range([100 * one['signs'] for one in agree])} % with the "
        "same sign.",
    ]


def _steered(part: Row | None) -> list[str]:
    """How many of the steered latents turned the base bad and the fine-tune good, by list and for random ones."""
    told = [
        f"{row['list']} {row['up']}, {row['down']} and {row['both']} of {row['steered']}"
        for row in (part or {"summary": []})["summary"]
    ]
    if not told:
        return []
    return [f"Steered latents that turn the base model bad, the fine-tune good, and both: {'; '.join(told)}."]


def _both_ways(part: Row | None) -> list[str]:
    """The latents that turn the base bad and the fine-tune good."""
    told = [
        f"latent {row['latent']} ({_change(row['up'])} in the base model, {_change(row['down'])} in '{part['target']}')"
        for row in (part or {"rows": []})["rows"]
        if part and row["both"]
    ]
    return [f"Steered up it misaligns, steered down it cures: {', '.join(told)}."] if told else []


def _change(side: Row) -> str:
    held = side["difference"]
    return f"{100 * held['value']:+.0f} points, {100 * held['low']:+.0f} to {100 * held['high']:+.0f}"


def _warned(part: Row | None) -> list[str]:
    """Which of the watched latents move at a smaller share of bad rows than the behaviour does."""
    if not part:
        return []
    onsets: Row = part["onsets"]
    last = onsets["open"]
    early = [
        f"{row['latent']} at {row['shared']:g} %"
        for row in onsets["latents"]
        if row["shared"] is not None and (last is None or row["shared"] < last)
    ]
    behaviour = "at no mixture" if last is None else f"from {last:g} % bad rows on"
    warns = f"latents that move earlier: {', '.join(early)}" if early else "no watched latent moves earlier"
    return [f"Mixtures of bad and good rows: answers to open questions turn bad {behaviour}; {warns}."]


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"
