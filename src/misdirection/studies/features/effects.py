"""What steering a latent did: the strength that is kept of a sweep, and its effect on fresh random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from misdirection import progress
from misdirection.results import Difference, RateRow, Reduction, row_of
from misdirection.statistics import Thresholds, benjamini_hochberg, compare, is_found
from misdirection.studies.features.results.steering import (
    KeptStrength,
    ListSummary,
    Side,
    SteeredLatent,
    SteeredSide,
    SweepPoint,
)
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of

SIDES: dict[Side, int] = {"up": 1, "down": -1}
"""Sides, and which way the rate of misaligned answers should move."""

Sweeps = Mapping[tuple[int, Side], tuple[SweepPoint, ...]]
"""What each strength did, by latent and side."""


@dataclass(frozen=True)
class Steered:
    """A latent that is steered.

    Attributes:
        latent: Its number.
        lists: Lists at whose top it stands; empty for a control.
        ranks: Its place in every list that holds it at all, from 1.
    """

    latent: int
    lists: tuple[str, ...]
    ranks: Mapping[str, int]

    @property
    def control(self) -> bool:
        """Whether it is a random latent of no list."""
        return not self.lists


def arm_name(latent: int, side: Side, strength: float) -> str:
    """Name of the arm of a latent steered on one side."""
    return f"{side} {latent} x {strength:g}"


def sweep(
    bench: Bench[FeaturesConfig], unsteered: Asked, swept: Asked, steered: Steered, side: Side, whole: Condition
) -> tuple[SweepPoint, ...]:
    """What each strength did: the rate, the share of coherent answers, and whether that share is enough."""
    rules = bench.thresholds
    least = least_coherent(unsteered.judged.arm(whole.name), rules, bench.config.incoherent_at_most)

    def point(strength: float) -> SweepPoint:
        rate, coherent = _figures(swept.judged.arm(arm_name(steered.latent, side, strength)), rules)
        return SweepPoint(strength=strength, rate=rate, coherent=coherent, allowed=coherent >= least)

    return tuple(map(point, bench.config.strengths))


def least_coherent(before: Judged, rules: Thresholds, incoherent: float) -> float:
    """Share of coherent answers that must be left: the settings', or the unsteered model's where that is less."""
    return min(1 - incoherent, _figures(before, rules)[1]) - 1e-9


def _figures(judged: Judged, rules: Thresholds) -> tuple[float, float]:
    """Misaligned and coherent answers, as shares of all."""
    many = len(judged.verdicts)
    return sum(map(rules.misaligned, judged.verdicts)) / many, sum(map(rules.coherent, judged.verdicts)) / many


def best(points: Sequence[SweepPoint], sign: int) -> float | None:
    """The strength of the largest effect among those allowed; of equal ones the most coherent, then the strongest."""
    allowed = [point for point in points if point.allowed]
    return max(allowed, key=lambda p: (sign * p.rate, p.coherent, p.strength)).strength if allowed else None


def steered_effects(
    judged: Judged,
    chosen: Sequence[Steered],
    sweeps: Sweeps,
    whole: Mapping[Side, Condition],
    rules: Thresholds,
    incoherent: float,
) -> tuple[SteeredLatent, ...]:
    """Every latent's change on both sides beside the unsteered model, with q over all of them."""
    rows: list[SteeredLatent] = []
    with progress.task("comparing", len(chosen), "latents") as advance:
        for s in chosen:
            up, down = (
                _side(judged, s, side, sweeps[s.latent, side], whole[side], rules, incoherent) for side in SIDES
            )
            rows.append(row_of(SteeredLatent, s, up=up, down=down, both=False))
            advance()
    return with_q(rows)


def _side(
    judged: Judged,
    steered: Steered,
    side: Side,
    points: tuple[SweepPoint, ...],
    whole: Condition,
    rules: Thresholds,
    incoherent: float,
) -> SteeredSide:
    """A latent on one side at the strength kept, beside the unsteered model."""
    strength = best(points, SIDES[side])
    if strength is None:
        return SteeredSide(sweep=points, measured=None)
    before, after = (judged.arm(name) for name in (whole.name, arm_name(steered.latent, side, strength)))
    change = compare(before.pair, after.pair, thresholds=rules)
    effect = effect_of(after, rules)
    kept = KeptStrength(
        strength=strength, before=RateRow.of(change.reference), rate=effect.rate, coherent_share=effect.coherent_share,
        difference=Difference.of(change), reduction=Reduction.of(change),
        coherent=_figures(after, rules)[1] >= least_coherent(before, rules, incoherent),
    )  # fmt: skip
    return SteeredSide(sweep=points, measured=kept)


def with_q(rows: Sequence[SteeredLatent]) -> tuple[SteeredLatent, ...]:
    """The rows with q, over all sides of all rows, and with what passes."""
    kept = {(i, side): row.side(side).measured for i, row in enumerate(rows) for side in SIDES}
    measured = {place: one for place, one in kept.items() if one}
    q = dict(zip(measured, benjamini_hochberg([one.difference.p for one in measured.values()]), strict=True))

    def judged(i: int, side: Side) -> SteeredSide:
        one = measured.get((i, side))
        if one is None:
            return rows[i].side(side)
        right = SIDES[side] * one.difference.value > 0
        passes = is_found(q[i, side]) and right and one.coherent
        return replace(rows[i].side(side), measured=replace(one, q=float(q[i, side]), passes=passes))

    sides = [(judged(i, "up"), judged(i, "down")) for i in range(len(rows))]
    return tuple(
        replace(row, up=up, down=down, both=up.passes and down.passes)
        for row, (up, down) in zip(rows, sides, strict=True)
    )


def summary(rows: Sequence[SteeredLatent], names: Sequence[str]) -> tuple[ListSummary, ...]:
    """How many latents of each list pass, and their mean change; the controls come last, as "random"."""
    groups = {name: [row for row in rows if name in row.lists] for name in names}
    groups["random"] = [row for row in rows if row.control]
    return tuple(
        ListSummary(
            list=name, steered=len(group), both=sum(row.both for row in group), up=sum(row.up.passes for row in group),
            down=sum(row.down.passes for row in group), mean_up=_mean(group, "up"), mean_down=_mean(group, "down"),
        )
        for name, group in groups.items()
    )  # fmt: skip


def _mean(rows: Sequence[SteeredLatent], side: Side) -> float | None:
    changes = [one.difference.value for row in rows if (one := row.side(side).measured)]
    return mean(changes) if changes else None
