"""What steering a latent did: the strength that is kept of a sweep, and its effect on fresh random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.artefacts import plain, read_json, write_json
from misdirection.runs import Step
from misdirection.statistics import benjamini_hochberg, compare
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import change_row, effect_row, rate_row

Row = dict[str, Any]
SIDES = {"up": 1, "down": -1}
"""Sides, and which way the rate of misaligned answers should move."""

LEVEL = 0.05
"""Of q, below which a change counts."""


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


def arm_name(latent: int, side: str, strength: float) -> str:
    """Name of the arm of a latent steered on one side."""
    return f"{side} {latent} x {strength:g}"


def sweep(
    bench: Bench[FeaturesConfig], unsteered: Asked, swept: Asked, steered: Steered, side: str, whole: Condition
) -> list[Row]:
    """What each strength did: the rate, the share of coherent answers, and whether that share is enough."""
    least = least_coherent(bench, unsteered.judged.arm(whole.name))
    found = [(x, *_figures(swept.judged.arm(arm_name(steered.latent, side, x)), bench)) for x in bench.config.strengths]
    return [
        {"strength": x, "rate": rate, "coherent": coherent, "allowed": coherent >= least} for x, rate, coherent in found
    ]


def least_coherent(bench: Bench[FeaturesConfig], before: Judged) -> float:
    """Share of coherent answers that must be left: the settings', or the unsteered model's where that is less."""
    return min(1 - bench.config.incoherent_at_most, _figures(before, bench)[1]) - 1e-9


def effects_of(step: Step, sweeps: Mapping[tuple[int, str], Sequence[Row]]) -> list[Row]:
    """The rows that a step holds, each side with the sweep that its strength was chosen in."""
    rows: list[Row] = read_json(step.path / "effects.json")
    for row in rows:
        for side in SIDES:
            row[side]["sweep"] = sweeps[row["latent"], side]
    return rows


def _figures(judged: Judged, bench: Bench[FeaturesConfig]) -> tuple[float, float]:
    """Misaligned and coherent answers, as shares of all."""
    rules, many = bench.thresholds, len(judged.verdicts)
    return sum(map(rules.misaligned, judged.verdicts)) / many, sum(map(rules.coherent, judged.verdicts)) / many


def best(points: Sequence[Row], sign: int) -> float | None:
    """The strength of the largest effect among those allowed; of equal ones the most coherent, then the strongest."""
    allowed = [p for p in points if p["allowed"]]
    return max(allowed, key=lambda p: (sign * p["rate"], p["coherent"], p["strength"]))["strength"] if allowed else None


def effects_step(
    bench: Bench[FeaturesConfig],
    measured: Asked,
    chosen: Sequence[Steered],
    kept: Mapping[tuple[int, str], float | None],
    whole: Mapping[str, Condition],
) -> Step:
    """Every latent's change on both sides beside the unsteered model, with q over all of them; `effects.json`."""

    def make(folder: Path) -> None:
        rows: list[Row] = []
        with progress.task("comparing", len(chosen), "latents") as advance:
            for s in chosen:
                held = {
                    side: effect(bench, measured, s.latent, side, kept[s.latent, side], whole[side]) for side in SIDES
                }
                rows.append(
                    {"latent": s.latent, "lists": s.lists, "ranks": dict(s.ranks), "control": s.control, **held}
                )
                advance()
        judge(rows)
        write_json(folder / "effects.json", plain(rows))

    rules = {"rules": asdict(bench.thresholds), "limit": bench.config.incoherent_at_most}
    inputs = {"answers": measured.answers, "verdicts": measured.verdicts, **rules}
    told = {"chosen": [asdict(s) for s in chosen], "kept": [[*key, x] for key, x in kept.items()]}
    arms = {side: arm.name for side, arm in whole.items()}
    return bench.run.step("latents-effects", {**inputs, **told, "whole": arms}, make)


def effect(
    bench: Bench[FeaturesConfig], measured: Asked, latent: int, side: str, strength: float | None, whole: Condition
) -> Row:
    """A latent on one side at the strength kept, beside the unsteered model."""
    if strength is None:
        return {"strength": None, "passes": False}
    before, after = (measured.judged.arm(name) for name in (whole.name, arm_name(latent, side, strength)))
    change = compare(before.pair, after.pair, thresholds=bench.thresholds)
    return {
        "strength": strength,
        "before": rate_row(change.reference),
        **effect_row(after, bench.thresholds),
        **change_row(change),
        "coherent": _figures(after, bench)[1] >= least_coherent(bench, before),
    }


def judge(rows: Sequence[Row]) -> None:
    """Add q, over all sides of all rows, and what passes, to rows whose sides hold differences."""
    tested = [(row[side], sign) for row in rows for side, sign in SIDES.items() if row[side]["strength"] is not None]
    adjusted = benjamini_hochberg([held["difference"]["p"] for held, _ in tested])
    for (held, sign), q in zip(tested, adjusted, strict=True):
        held["q"] = q
        held["passes"] = q < LEVEL and sign * held["difference"]["value"] > 0 and held["coherent"]
    for row in rows:
        row["both"] = all(row[side]["passes"] for side in SIDES)


def summary(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """How many latents of each list pass, and their mean change; the controls come last, as "random"."""
    groups = {name: [row for row in rows if name in row["lists"]] for name in names}
    groups["random"] = [row for row in rows if row["control"]]
    return [
        {"list": name, "steered": len(held), "both": sum(row["both"] for row in held),
         **{side: sum(row[side]["passes"] for row in held) for side in SIDES},
         **{f"mean_{side}": _mean([row[side]["difference"]["value"] for row in held if "difference" in row[side]])
            for side in SIDES}}
        for name, held in groups.items()
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
