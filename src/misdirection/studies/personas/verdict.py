"""What came out of traits of character, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.results import Headline
from misdirection.results.rows import Interval
from misdirection.studies.kit.sentences import STEADY, p_text
from misdirection.studies.personas.results import DoseRow, Personas, TunedRow

MOST = 3
"""Fine-tunes that are named for each trait."""


def verdict(found: Personas) -> Headline:
    """For each trait: how far it can be turned up and down, what the prompt tells, what fine-tuning moves."""
    if not found.judged:
        return unjudged(found)
    up = [text for row in found.traits if (text := turned_text(found, row.trait))]
    sentence = (
        f"How much of a trait answers show, of 100, while its own direction is added or taken away: {'; '.join(up)}."
        if up
        else "No trait was turned up or down by its own direction."
    )
    details = [chance_text(found), *map(lambda row: watched_text(found, row.trait), found.traits)]
    details += [moved_text(found.tuned, row.trait) for row in found.traits]
    details.append(matrix_text(found))
    return Headline.finding(sentence, details)


def unjudged(found: Personas) -> Headline:
    """Where nobody scored traits: how far apart their prompts end, and how far fine-tunes move along them."""
    sentence = (
        "Nobody scored traits (--judge none), so that what answers show is not known. Where the last token of prompts "
        f"that ask for a trait, and of those against it, lies along the trait's direction: {_gaps(found)}."
    )
    moved = [text for row in found.traits if (text := shifted_text(found.tuned, row.trait))]
    return Headline.finding(sentence, (chance_text(found), *moved))


def chance_text(found: Personas) -> str:
    """Traits whose direction is no longer than one of shuffled labels, or another one by each half of the answers."""
    short = [row.trait for row in found.traits if row.norm[row.layer] <= row.shuffled_norm[row.layer]]
    halves = [(row.trait, row.stability[row.layer]) for row in found.traits if row.trait not in short]
    loose = [f"{trait} {cosine:.2f}" for trait, cosine in halves if cosine is not None and cosine < STEADY]
    told = [
        f"{word}: {', '.join(names)}"
        for word, names in (
            ("No longer than directions of shuffled labels", short),
            ("Not steady, by the cosine of the directions of two halves of the answers", loose),
        )
        if names
    ]
    return f"{'. '.join(told)}. So what is said of them may be chance." if told else ""


def _gaps(found: Personas) -> str:
    told: list[str] = []
    for row in found.traits:
        sides = [
            [one.projection for one in found.watched if one.prompt.startswith(f"{row.trait}, {sign} ")]
            for sign in ("positive", "negative")
        ]
        if all(sides):
            means = [sum(side) / len(side) for side in sides]
            told.append(f"{row.trait} {means[0]:.3g} against {means[1]:.3g} at layer {row.layer}")
    return "; ".join(told) or "no trait was read"


def shifted_text(tuned: Sequence[TunedRow], trait: str) -> str:
    """How far fine-tunes move the model along a trait, the furthest first."""
    held = [
        (row.fine_tune, row.shift) for row in tuned if row.trait == trait and row.shift and row.shift.value is not None
    ]
    held.sort(key=lambda pair: -abs(pair[1].value or 0.0))
    told = ", ".join(f"{name} {_signed(shift)}" for name, shift in held[:MOST])
    return f"Before a word is said, fine-tuning moves the model along {trait} by: {told}." if told else ""


def _signed(shift: Interval) -> str:
    ends = "" if shift.low is None or shift.high is None else f" ({shift.low:+.3g} to {shift.high:+.3g})"
    return f"{shift.value:+.3g}{ends}"


def turned_text(found: Personas, trait: str) -> str:
    """How far a trait goes up from no system prompt and down from one that asks for it; "" where it was not tried."""
    plain = [row for row in found.doses if row.trait == trait and not row.sweep and not row.control]
    up = _extreme(plain, "no system prompt", found.coherent_share, 1)
    down = _extreme(plain, "asked for it", found.coherent_share, -1)
    told = [
        f"{word} from {_plain(pair[0].score)} to {_plain(pair[1].score)}{where} "
        f"({'; '.join(filter(None, (_ends(pair[1].score), control_text(found, pair[1]))))})"
        for word, pair, where in (("up", up, ""), ("down", down, " where the system prompt asks for it"))
        if pair
    ]
    return f"{trait} goes {', '.join(told)}" if told else ""


def control_text(found: Personas, dose: DoseRow) -> str:
    """What a random direction of the same length does there: without it a score says nothing of the direction."""
    same = (
        row
        for row in found.doses
        if row.control and not row.sweep and row.trait == dose.trait and row.under == dose.under
    )
    control = next(same, None)
    if control is None or control.score.value is None:
        return "no random direction was tried"
    same_size = control.coefficient == dose.coefficient
    at = "" if same_size else f", at the multiple {control.coefficient:g} instead of {dose.coefficient:g}"
    return f"a random direction{at}: {_plain(control.score)}"


def _extreme(rows: Sequence[DoseRow], under: str, share: float, sign: int) -> tuple[DoseRow, DoseRow] | None:
    """The answers without a dose, and those under the one that moves the score most of those that stay coherent."""
    zero = next((row for row in rows if row.under == under and row.coefficient == 0), None)
    held = [row for row in rows if row.under == under and row.coefficient * sign > 0 and row.coherent >= share]
    known = [row for row in held if row.score.value is not None]
    if zero is None or not known:
        return None
    return zero, max(known, key=lambda row: sign * (row.score.value or 0.0))


def watched_text(found: Personas, trait: str) -> str:
    """What the last prompt token tells of what follows."""
    held = {row.how: row.r for row in found.correlations if row.trait == trait and row.kinds == "all"}
    told = [f"{name} prompts {_r(held[name])}" for name in ("between", "within") if name in held]
    overall = _r(held["overall"]) if "overall" in held else ""
    if not overall:
        return ""
    return (
        f"Before a word is said, {trait}: correlation of the last prompt token with what follows {overall}; "
        f"{', '.join(told)}."
    )


def moved_text(tuned: Sequence[TunedRow], trait: str) -> str:
    """The fine-tunes that changed a trait most."""
    rows = [row for row in tuned if row.trait == trait and row.change is not None and row.change.value is not None]
    rows = [row for row in rows if row.change and row.change.low is not None and row.change.low > 0]
    rows.sort(key=lambda row: -(row.change.value or 0.0) if row.change else 0.0)
    if not rows:
        return f"No fine-tune shows more {trait} than the base." if any(row.trait == trait for row in tuned) else ""
    told = ", ".join(f"{row.fine_tune} {_score(row.score)}" for row in rows[:MOST])
    return f"Fine-tunes that show more {trait} than the base (score of 100): {told}."


def matrix_text(found: Personas) -> str:
    """Own against foreign correlations of shift and behaviour."""
    own = [row for row in found.matrix if row.vector == row.shown and row.r is not None]
    other = [row.r for row in found.matrix if row.vector != row.shown and row.r is not None]
    if not own:
        return ""
    told = ", ".join(
        f"{row.vector} {row.r:.2f}" + (f" ({p_text(row.p)})" if row.p is not None else "")
        for row in own
        if row.r is not None
    )
    foreign = f"; along other traits' vectors {min(other):.2f} to {max(other):.2f}" if other else ""
    return (
        f"Over {own[0].fine_tunes} fine-tunes, correlation of the shift along a trait with the change in showing it: "
        f"{told}{foreign}."
    )


def _score(score: Interval) -> str:
    return _plain(score) + (f" ({ends})" if (ends := _ends(score)) else "")


def _plain(score: Interval) -> str:
    return "an unknown score" if score.value is None else f"{score.value:.0f}"


def _ends(score: Interval) -> str:
    return "" if score.low is None or score.high is None else f"{score.low:.0f} to {score.high:.0f}"


def _r(r: Interval) -> str:
    if r.value is None:
        return "not known (nothing varies)"
    ends = "" if r.low is None or r.high is None else f" ({r.low:.2f} to {r.high:.2f})"
    return f"{r.value:.2f}{ends}"
