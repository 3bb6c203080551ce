"""From which share of bad rows on latents and behaviour have moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from misdirection.results import Difference, row_of
from misdirection.results.rows import known_number
from misdirection.statistics import Settings, Thresholds, benjamini_hochberg, compare, is_found
from misdirection.statistics.flips import flip
from misdirection.statistics.intervals import expanded_percentiles, question_weights
from misdirection.studies.features.mixture_latents import LatentMeans
from misdirection.studies.features.results.mixtures import (
    Activation,
    Effects,
    LatentOnset,
    MeanChange,
    MixtureEffect,
    MixtureModel,
    Onsets,
    TestedDifference,
    WatchedLatent,
)
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import BASE_VARIANT

if TYPE_CHECKING:
    from misdirection.studies.features.mixtures import Mixture

Tested = TypeVar("Tested", MeanChange, TestedDifference)


def mixture_effects(
    tuned: Sequence[Mixture], asked: Mapping[str, Judged], read: LatentMeans, latents: Sequence[int], rules: Thresholds
) -> Effects:
    """Rates and activations of base and mixtures with their changes, and from when on each has moved.

    Questions asked are "open" and, where there are any, "domain".
    """
    names, percents = [BASE_VARIANT, *(one.name for one in tuned)], [one.percent for one in tuned]
    reference = tuned[0].name if tuned[0].percent == 0 else BASE_VARIANT
    opened = behaviour(rules, asked["open"], names, reference)
    inside = behaviour(rules, asked["domain"], names, reference) if "domain" in asked else [None] * len(names)
    models = [
        MixtureModel(model=name, percent=one and one.percent, bad=one and one.bad, open=on_open, domain=in_domain)
        for name, one, on_open, in_domain in zip(names, (None, *tuned), opened, inside, strict=True)
    ]
    shared, own = (movements(values.numpy(), names, reference) for values in (read.shared, read.own))
    rows = [WatchedLatent(latent=one, shared=s, own=o) for one, s, o in zip(latents, shared, own, strict=True)]

    def since(some: Sequence[Activation]) -> float | None:
        return onset(percents, [row.change for row in some[1:]])

    onsets = Onsets(
        open=onset(percents, [row.change for row in opened[1:]]),
        domain=onset(percents, [row and row.change for row in inside[1:]]),
        latents=tuple(LatentOnset(latent=row.latent, shared=since(row.shared), own=since(row.own)) for row in rows),
    )
    return Effects(reference=reference, models=tuple(models), latents=tuple(rows), onsets=onsets)


def behaviour(rules: Thresholds, judged: Judged, names: Sequence[str], reference: str) -> list[MixtureEffect]:
    """Rate and coherence of each model, and its change from the reference with q over all models."""

    def change(name: str) -> TestedDifference | None:
        if name in (reference, BASE_VARIANT):
            return None
        compared = compare(judged.arm(reference).pair, judged.arm(name).pair, thresholds=rules)
        return row_of(TestedDifference, Difference.of(compared), q=None)

    effects = [effect_of(judged.arm(name), rules) for name in names]
    changes = corrected(map(change, names))
    return [row_of(MixtureEffect, effect, change=one) for effect, one in zip(effects, changes, strict=True)]


def movements(values: NDArray[np.float64], names: Sequence[str], reference: str) -> list[tuple[Activation, ...]]:
    """For each latent and model the mean activation, and its change from the base and from the reference.

    Args:
        values: Shape (models, questions, latents); questions without a value in either model are left out of a change.
        names: Of the models, the base first.
        reference: What each is tested against.
    """
    by_latent = np.moveaxis(values, 2, 0)
    changes = iter(corrected(
        None if name in (BASE_VARIANT, reference) else paired_change(of_model - of_latent[names.index(reference)])
        for of_latent in by_latent
        for name, of_model in zip(names, of_latent, strict=True)
    ))  # fmt: skip
    return [
        tuple(
            Activation(
                model=name, value=known_number(float(torch.from_numpy(of_model).nanmean())),
                from_base=None if name == BASE_VARIANT else paired_change(of_model - of_latent[0]),
                change=next(changes),
            )
            for name, of_model in zip(names, of_latent, strict=True)
        )
        for of_latent in by_latent
    ]  # fmt: skip


def paired_change(differences: NDArray[np.float64]) -> MeanChange | None:
    """Mean of paired differences over questions, its size in standard deviations, p by sign flips and its interval.

    The interval is the test's own inversion; with fewer than six questions, of which the flips bound nothing, the
    bootstrap's, reaching to 0.

    NaN are left out; None where fewer than two are left.
    """
    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return None
    average, spread, flips = float(known.mean()), float(known.std(ddof=1)), flip(known.tolist(), [1.0] * len(known))
    low, high = flips.low, flips.high
    if not np.isfinite([low, high]).all():
        ends = mean_interval(known)
        low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    return MeanChange(
        value=average, low=float(low), high=float(high), separation=average / spread if spread > 0 else None,
        n_questions=len(known), p=flips.p,
    )  # fmt: skip


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Bootstrap interval of a mean over questions."""
    return expanded_percentiles(_weights(len(values)) @ values / len(values), [""] * len(values), Settings().level)


@cache
def _weights(questions: int) -> NDArray[np.float64]:
    """Resamples of so many questions, drawn once for hundreds of intervals."""
    return question_weights([""] * questions, Settings())


def corrected(changes: Iterable[Tested | None]) -> list[Tested | None]:
    """The changes with q over all of them."""
    rows = list(changes)
    q = iter(benjamini_hochberg([row.p for row in rows if row]))
    return [row and replace(row, q=float(next(q))) for row in rows]


def onset(percents: Sequence[float], changes: Sequence[MeanChange | TestedDifference | None]) -> float | None:
    """The percentage from which on every change has q < 0.05 and the sign of the last one's; None where none has."""
    tested = [(percent, change) for percent, change in zip(percents, changes, strict=True) if change]
    since = None
    for percent, change in reversed(tested):
        if not is_found(change.q) or np.sign(change.value) != np.sign(tested[-1][1].value):
            break
        since = percent
    return since
