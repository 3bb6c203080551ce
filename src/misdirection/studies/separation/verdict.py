"""What came out of the study of separation, in sentences."""

from __future__ import annotations

from misdirection.results import Headline
from misdirection.studies.kit.sentences import p_text, upper
from misdirection.studies.separation.results import AS_IT_IS, RANDOM, Separation, TestRow

NAMES = {
    "means": "the cosine of class means",
    "means_whitened": "the cosine of whitened class means",
    "directions": "the cosine of directions",
    "directions_whitened": "the cosine of whitened directions",
    "latents": "the share of top latents in common",
    "crosstalk": "causal cross-talk",
}
"""Measures in words."""

FOUND = 0.05

ENOUGH = 5
"""Other concepts for a test: of fewer there are fewer than 120 orders, and p over several measures cannot be small."""


def verdict(found: Separation) -> Headline:
    """Whether spill follows closeness, what fine-tuning does to it, and the controls."""
    tests = [row for name in NAMES if (row := found.test(name)) is not None and row.rho is not None]
    held = [row for row in tests if row.p is not None and row.p * len(tests) < FOUND and (row.rho or 0) > 0]
    sentence = (
        f"At layer {found.layer} what lies close to a trained concept spills over more: "
        f"{'; '.join(map(test_text, held))} (p times the {len(tests)} measures is below {FOUND:g})."
        if held
        else few_text(found)
        or f"At layer {found.layer} none of {len(tests)} measures of closeness to the trained concept predicts which "
        "other concepts its fine-tune spills over to."
    )
    details = [
        *(f"{upper(test_text(row))}." for row in tests),
        *map(lambda name: spill_text(found, name), dict.fromkeys(row.trained for row in found.pairs)),
        *change_text(found),
        probe_text(found),
        cross_text(found),
    ]
    return Headline.finding(sentence, details)


def few_text(found: Separation) -> str:
    """That there is too little to compare, where there is."""
    others = [sum(row.trained == name for row in found.pairs) for name in {row.trained for row in found.pairs}]
    most = max(others, default=0)
    if most >= ENOUGH:
        return ""
    known = "of no other concept" if not most else f"of {most} other concept{'s' if most > 1 else ''} only"
    return (
        f"Whether a fine-tune spills over to what lies close cannot be told: the spill is known {known}, and "
        f"{ENOUGH} are the least. How close the concepts lie is told below."
    )


def test_text(row: TestRow) -> str:
    """A test in words."""
    p = "" if row.p is None else f", {p_text(row.p)}"
    rho = "unknown" if row.rho is None else f"{row.rho:.2f}"
    return f"{NAMES[row.measure]} and spill have a rank correlation of {rho}{p} over {row.pairs} pairs"


def spill_text(found: Separation, trained: str) -> str:
    """How much a fine-tune changes its own concept and the others."""
    rows = sorted((row for row in found.pairs if row.trained == trained), key=lambda row: -row.spill)
    own = next((row for row in found.own if row.trained == trained), None)
    if not rows:
        return ""
    mean = sum(row.spill for row in rows) / len(rows)
    told = "" if own is None else f"{100 * own.spill:+.0f} points on its own concept, "
    if len(rows) == 1:
        return f"Fine-tuned on {trained}: {told}{100 * mean:+.0f} points on {rows[0].concept}."
    return (
        f"Fine-tuned on {trained}: {told}{100 * mean:+.0f} on the {len(rows)} others on average, most on "
        f"{rows[0].concept} ({100 * rows[0].spill:+.0f}), least on {rows[-1].concept} ({100 * rows[-1].spill:+.0f})."
    )


def change_text(found: Separation) -> list[str]:
    """How close concepts lie before, and after each fine-tune."""
    at = {row.variant: row for row in found.layers if row.layer == found.layer}
    base = at["base"]
    told = [
        f"Before: mean squared cosine of class means {base.means:.2f} ({base.floor:.2f} with shuffled labels), mean "
        f"cosine of directions {base.directions:.2f}; the {len(found.concepts)} means spread over "
        f"{base.dimensions_of_means:.1f} dimensions, all states over {base.dimensions_of_states:.1f}."
    ]
    told += [
        f"After fine-tuning on {name}: {row.means:.2f}, {row.directions:.2f}, {row.dimensions_of_means:.1f} and "
        f"{row.dimensions_of_states:.1f}."
        for name, row in at.items()
        if name != "base"
    ]
    return told


def probe_text(found: Separation) -> str:
    """How many components a probe needs in the base."""
    rows = [row for row in found.probes if row.variant == "base"]
    if not rows:
        return ""
    best = max(row.accuracy for row in rows)
    needed = next(row for row in rows if row.accuracy >= 0.95 * best)
    return (
        f"A linear probe tells {100 * best:.0f} % of the base's chats right at best, and comes within a twentieth of "
        f"that on {needed.dims} components ({100 * needed.shuffled:.0f} % with shuffled labels)."
    )


def cross_text(found: Separation) -> str:
    """What adding a concept's direction does to the others, beside random directions of the same length."""
    plain = {row.concept: row.rate.value or 0.0 for row in found.cross if row.added == AS_IT_IS}

    def mean(own: bool, random: bool) -> float | None:
        rises = [
            (row.rate.value or 0.0) - plain[row.concept]
            for row in found.cross
            if row.added != AS_IT_IS
            and row.added.startswith(f"{RANDOM} ") == random
            and (random or (row.added == row.concept) == own)
        ]
        return sum(rises) / len(rises) if rises else None

    own, other, control = mean(True, False), mean(False, False), mean(False, True)
    if own is None or other is None:
        return ""
    told = "" if control is None else f", {100 * control:+.0f} for random directions of the same length"
    return (
        f"Adding a concept's direction (length {found.norm:.1f}) changes its own rate by {100 * own:+.0f} points and "
        f"those of the others by {100 * other:+.0f} on average{told}."
    )
