"""From which share of bad rows on latents and behaviour have moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from misdirection import progress
from misdirection.artefacts import plain, read_json, read_tensors, write_json
from misdirection.runs import Step
from misdirection.statistics import Settings, benjamini_hochberg, compare
from misdirection.statistics.flips import flip
from misdirection.statistics.intervals import expanded_percentiles, question_weights
from misdirection.studies.features.mixture_latents import PLACES
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import change_row, effect_row
from misdirection.studies.kit.variants import BASE_VARIANT

if TYPE_CHECKING:
    from misdirection.studies.features.mixtures import Mixture

Row = dict[str, Any]
LEVEL = 0.05
"""Of q, below which something has moved."""


def effects_step(bench: Bench[FeaturesConfig], tuned: Sequence[Mixture], asked: Mapping[str, Asked], read: Step) -> Row:
    """Rates and activations of base and mixtures with their changes, and from when on each has moved.

    Kept in `effects.json` of a step: "reference", "models", "latents", "onsets".
    """

    def make(folder: Path) -> None:
        progress.say("  comparing mixtures")
        write_json(folder / "effects.json", plain(_effects(bench, tuned, asked, read)))

    answers = {group: [held.answers, held.verdicts] for group, held in asked.items()}
    told = {"mixtures": [[one.name, one.percent, one.bad] for one in tuned], "rules": asdict(bench.thresholds)}
    step = bench.run.step("mixtures-effects", {**told, "asked": answers, "read": read}, make)
    return read_json(step.path / "effects.json")


def _effects(bench: Bench[FeaturesConfig], tuned: Sequence[Mixture], asked: Mapping[str, Asked], read: Step) -> Row:
    names, percents = [BASE_VARIANT, *(one.name for one in tuned)], [one.percent for one in tuned]
    reference = tuned[0].name if tuned[0].percent == 0 else BASE_VARIANT
    rows: list[Row] = [{"model": BASE_VARIANT, "percent": None, "bad": None}]
    rows += [{"model": one.name, "percent": one.percent, "bad": one.bad} for one in tuned]
    for group, held in asked.items():
        for row, found in zip(rows, behaviour(bench, held.judged, names, reference), strict=True):
            row[group] = found
    tensors, facts = read_tensors(read.path / "activations.safetensors")
    latents: list[Row] = [{"latent": latent} for latent in facts["latents"]]
    for place in PLACES:
        for row, found in zip(latents, movements(tensors[place].numpy(), names, reference), strict=True):
            row[place] = found
    moved: Row = {group: onset(percents, [row[group] for row in rows[1:]]) for group in asked}
    moved["latents"] = [
        {"latent": row["latent"], **{place: onset(percents, row[place][1:]) for place in PLACES}} for row in latents
    ]
    return {"reference": reference, "models": rows, "latents": latents, "onsets": moved}


def behaviour(bench: Bench[FeaturesConfig], judged: Judged, names: Sequence[str], reference: str) -> list[Row]:
    """Rate and coherence of each model, and its change from the reference with q over all models."""
    before = judged.arm(reference)
    rows: list[Row] = []
    for name in names:
        part = judged.arm(name)
        rows.append(effect_row(part, bench.thresholds))
        if name not in (reference, BASE_VARIANT):
            rows[-1]["change"] = change_row(compare(before.pair, part.pair, thresholds=bench.thresholds))["difference"]
    _correct([row["change"] for row in rows if "change" in row])
    return rows


def movements(values: NDArray[np.float64], names: Sequence[str], reference: str) -> list[list[Row]]:
    """For each latent and model the mean activation, and its change from the base and from the reference.

    Args:
        values: Shape (models, questions, latents); questions without a value in either model are left out of a change.
        names: Of the models, the base first.
        reference: What each is tested against.
    """
    found: list[list[Row]] = []
    for of_latent in np.moveaxis(values, 2, 0):
        rows: list[Row] = [{"model": name, "value": _mean(held)} for name, held in zip(names, of_latent, strict=True)]
        for row, held in zip(rows, of_latent, strict=True):
            if row["model"] != BASE_VARIANT:
                row["from_base"] = paired_change(held - of_latent[0])
                tested = None if row["model"] == reference else held - of_latent[names.index(reference)]
                row["change"] = None if tested is None else paired_change(tested)
        found.append(rows)
    _correct([row["change"] for rows in found for row in rows if row.get("change")])
    return found


def paired_change(differences: NDArray[np.float64]) -> Row | None:
    """Mean of paired differences over questions, its size in standard deviations, p by sign flips and its interval.

    The interval is the test's own inversion; with fewer than six questions, of which the flips bound nothing, the
    bootstrap's, reaching to 0.

    NaN are left out; None where fewer than two are left.
    """
    held = differences[~np.isnan(differences)]
    if len(held) < 2:
        return None
    spread, tested = float(held.std(ddof=1)), flip(held.tolist(), [1.0] * len(held))
    low, high = tested.low, tested.high
    if not np.isfinite([low, high]).all():
        ends = mean_interval(held)
        low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    separation = float(held.mean()) / spread if spread > 0 else None
    told = {"value": float(held.mean()), "low": low, "high": high, "separation": separation, "n_questions": len(held)}
    return {**told, "p": tested.p}


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Bootstrap interval of a mean over questions."""
    return expanded_percentiles(_weights(len(values)) @ values / len(values), [""] * len(values), Settings().level)


@cache
def _weights(questions: int) -> NDArray[np.float64]:
    """Resamples of so many questions, drawn once for hundreds of intervals."""
    return question_weights([""] * questions, Settings())


def _mean(values: NDArray[np.float64]) -> float | None:
    found = float(torch.from_numpy(values).nanmean())
    return None if found != found else found


def _correct(rows: Sequence[Row]) -> None:
    for row, q in zip(rows, benjamini_hochberg([row["p"] for row in rows]), strict=True):
        row["q"] = q


def onset(percents: Sequence[float], rows: Sequence[Row]) -> float | None:
    """The percentage from which on every `change` has q < 0.05 and the sign of the last one's; None where none has."""
    tested = [(percent, row["change"]) for percent, row in zip(percents, rows, strict=True) if row.get("change")]
    found = None
    for percent, change in reversed(tested):
        if change["q"] >= LEVEL or np.sign(change["value"]) != np.sign(tested[-1][1]["value"]):
            break
        found = percent
    return found
