"""Which removal of the direction is the best one, and what is said of it: one that leaves the model able to speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from misdirection.results import RateRow
from misdirection.statistics import is_found
from misdirection.studies.audit.results import ComponentLeft, Cure
from misdirection.studies.kit.sentences import p_text

HOLD = "hold"
"""The operation of holding latents at a value."""


def best_cure(rows: Sequence[Cure], coherent_share: float) -> int | None:
    """Place of the removal with the largest fall of the rate among those that leave the model able to speak.

    That is, that keep at least `coherent_share` of the untouched model's share of coherent answers: a model that
    babbles is never misaligned. None where no removal does, or there was nothing to reduce.

    Args:
        rows: Of the removals, the untouched model first.
        coherent_share: 0 .. 1.
    """
    floor = coherent_share * _value(rows[0].coherent_share) if rows else 0.0
    falls = {
        place: row.reduction.value
        for place, row in enumerate(rows)
        if row.reduction and not row.control and _value(row.coherent_share) >= floor
    }
    return max(falls, key=falls.__getitem__, default=None)


def removal_texts(rows: Sequence[Cure], coherent_share: float) -> list[str]:
    """What is said of the best removal at the head of a report: beside the random ones, or that none leaves speech."""
    real = [row for row in rows if row.reduction and not row.control]
    if not real:
        return []
    place = best_cure(rows, coherent_share)
    if place is None:
        most = max(real, key=lambda row: _value(row.coherent_share))
        at_best, before = (100 * _value(row.coherent_share) for row in (most, rows[0]))
        return [
            f"No removal leaves the tuned model able to speak: at best {at_best:.0f} % of its answers stay coherent "
            f"({most.label}), of {before:.0f} % before; their low rates say little."
        ]
    best = rows[place]
    assert best.reduction and best.difference
    text = f"Best removal: {best.label}: the rate falls by {100 * best.reduction.value:.0f} %"
    text += "" if is_found(best.difference.p) else f" (not found at p < 0.05: {p_text(best.difference.p)})"
    coherent = 100 * _value(best.coherent_share)
    text += f" to {100 * _value(best.rate):.1f} %, with {coherent:.0f} % of answers coherent"
    held = best.operation == HOLD
    random = [
        100 * row.reduction.value
        for row in rows
        if row.control and row.reduction and "random" in row.arm and (row.operation == HOLD) is held
    ]
    what = "latents, held alike" if held else "directions, removed alike"
    beside = f"; random {what}, by {min(random):.0f} to {max(random):.0f} %" if random else ""
    return [f"{text}{beside}."]


def lasting_texts(rows: Sequence[Cure], left: Sequence[ComponentLeft]) -> list[str]:
    """What is said of the component behind each layer: under the best removal, and under the same at one layer alone.

    Args:
        rows: Of the removals, the best of them marked.
        left: The component under each, and under removals at one layer.
    """
    best = next((row for row in rows if row.best), None)
    everywhere = next((one for one in left if best and one.arm == best.arm), None)
    if best is None or everywhere is None:
        return []
    if everywhere.at is not None:
        told = "Does it last? Misaligned answers, read again (1 without it, 0: aligned answers)"
        return [f"{told}: {alone_text(everywhere)}."]
    if everywhere.most is None:
        return []
    most, where = everywhere.most
    text = (
        f"Does it last? Read again under the best removal, misaligned answers reach {most:.2f} at most along each "
        f"layer's own direction, behind layer {where} (1 without it, 0: aligned answers)"
    )
    alone = next((one for one in left if one.at is not None and one.arm.startswith(f"{best.operation}-")), None)
    if alone is None or alone.at is None:
        return [f"{text}."]
    return [f"{text}; {alone_text(alone)}."]


def alone_text(alone: ComponentLeft) -> str:
    """What is left right behind the one layer at which a removal acts, and how far later layers write it back."""
    assert alone.at is not None
    here = next(iter(alone.values[alone.at :]), None)
    text = f"{alone.label}, {'nothing can be told' if here is None else f'it is {here:.2f} there'}"
    if alone.most is None:
        return f"{text}, and no layer follows"
    return f"{text} and up to {alone.most[0]:.2f} behind layer {alone.most[1]}"


def marked(rows: Sequence[Cure], coherent_share: float) -> tuple[Cure, ...]:
    """The removals, the best of them marked."""
    place = best_cure(rows, coherent_share)
    return tuple(replace(row, best=i == place) for i, row in enumerate(rows))


def _value(rate: RateRow) -> float:
    return rate.value or 0.0
