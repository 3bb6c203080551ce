"""The geometry over the course of a fine-tune: which latents rise, and whether near inducing and toxic ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import torch
from torch import Tensor

from misdirection.features.geometry import exchange_test, firing_bins, nearness
from misdirection.features.lens import Lens
from misdirection.features.settings import Reduction
from misdirection.features.spillover import LatentChanges, change_of, fit_line, read_states
from misdirection.judging import Answer
from misdirection.results import row_of
from misdirection.statistics.correlations import spearman
from misdirection.studies.geometry.results.course import (
    Approach,
    FineTuneCourse,
    LayerCourse,
    RankCorrelation,
    Ranks,
    SetName,
    StepEffect,
)
from misdirection.studies.geometry.results.law import Line
from misdirection.studies.geometry.sets import Comparing, Listed, random_like
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.geometry.spill import held_texts
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.training.course import Course, course_of


@dataclass(frozen=True)
class Near:
    """The latents that rose at one checkpoint and one list.

    Attributes:
        drift: Mean cosine of the list with the drift of the residual stream.
        among: Share of the risen latents that are in the list.
        first: Similarity of the risen latents to it; None where none rose.
        second: Of random ones of like firing rate; None where there are none to exchange.
        low: 2.5 % point of the difference under exchange.
        high: 97.5 % point.
        p: Of the exchange.
    """

    drift: float
    among: float
    first: float | None = None
    second: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Moved:
    """What one checkpoint did at one layer: size of its displacement, latents that rose, and the law."""

    layer: int
    step: int
    size: float
    risen: tuple[int, ...]
    sets: Mapping[SetName, Near]
    law: Line


def follow(bench: Bench[GeometryConfig]) -> Course:
    """The fine-tune on one domain's bad data, with its checkpoints."""
    c = bench.config
    data = (named(c.data, "data")[c.track],)
    return course_of("main", bench.train(FineTune(c.preset, data, c.run(), c.seed), "main").path)


def variants(bench: Bench[GeometryConfig], course: Course | None) -> Variants:
    """The base with every checkpoint."""
    return bench.variants({} if course is None else {f"step-{s}": course.folders[s] for s in sorted(course.folders)})


def ask(bench: Bench[GeometryConfig], models: Variants) -> Asked:
    """Answers of the base and of every checkpoint; the base's alone where nobody judges."""
    c = bench.config
    if c.judge == "none":
        return bench.ask("answers", models, [BASE], samples=c.text_samples)
    arms = [Condition(name, name.replace("-", " "), name) for name in models.fine_tunes]
    return bench.ask("answers", models, [BASE, *arms], samples=max(c.samples, c.text_samples))


@dataclass(frozen=True)
class Tracked:
    """What every checkpoint did at every layer, and the answers that could not be read back."""

    moved: tuple[Moved, ...]
    left_out: LeftOut | None


def track(
    models: Variants,
    answers: list[Answer],
    lenses: Sequence[Lens],
    lists: Sequence[Listed],
    toxic: Sequence[Listed],
    c: Comparing,
) -> Tracked:
    """Every checkpoint at every layer on the base's own answers; lists of latents in the order of the lenses."""
    rows: list[Moved] = []
    aside: LeftOut | None = None
    for lens, listed, toxic_list in zip(lenses, lists, toxic, strict=True):
        sets = set_lists(c, listed, toxic_list)
        before, aside = _states(models, BASE_VARIANT, answers, lens)
        for variant in models.fine_tunes:
            change = change_of(lens.dictionary, before, _states(models, variant, answers, lens)[0])
            rows.append(measured(c, lens, int(variant.removeprefix("step-")), change, sets, listed))
    return Tracked(tuple(rows), aside)


def set_lists(c: Comparing, listed: Listed, toxic: Listed) -> dict[SetName, list[int]]:
    """The three sets that risen latents are compared with."""
    differences = listed.differences
    return {
        "inducing": differences.top(c.top),
        "good": differences.top(c.top, -1),
        "toxic": toxic.differences.top(c.top),
    }


def _states(models: Variants, variant: str, answers: list[Answer], lens: Lens) -> tuple[Tensor, LeftOut | None]:
    model = models.model(variant)
    texts, aside = held_texts(model, answers, models.arm(variant))
    return read_states(model, texts, lens.layer), aside


def measured(
    c: Comparing, lens: Lens, step: int, change: LatentChanges, sets: Mapping[SetName, Sequence[int]], listed: Listed
) -> Moved:
    """What one checkpoint did at one layer: its risen latents, its drift, and the law against the inducing ones."""
    units = lens.dictionary.directions.double().cpu()
    alive = listed.differences.alive | (change.fired > 0)
    order = change.mean.masked_fill(~alive, -torch.inf).argsort(descending=True)
    risen = [i for i in order[: c.risen].tolist() if float(change.mean[i]) > 0]
    drift = torch.nn.functional.normalize(change.moved, dim=0)
    bins = firing_bins(listed.rates, alive, c.bins)
    direction = torch.nn.functional.normalize(units[list(sets["inducing"])].mean(0), dim=0)
    seen = change.fired >= 20
    seen[list(sets["inducing"])] = False
    law = fit_line((units @ direction)[seen], change.steady[seen] / max(change.size, 1e-12))
    return Moved(
        layer=lens.layer,
        step=step,
        size=change.size,
        risen=tuple(risen),
        sets={name: _near(c, units, drift, risen, latents, alive, bins) for name, latents in sets.items()},
        law=row_of(Line, law),
    )


def _near(
    c: Comparing,
    units: Tensor,
    drift: Tensor,
    risen: Sequence[int],
    latents: Sequence[int],
    alive: Tensor,
    bins: Any,
) -> Near:
    """The risen latents and a list, beside random live ones of like firing rate."""
    cosine = float((units[list(latents)] @ drift).mean())
    among = len(set(risen) & set(latents)) / max(1, len(risen))
    others = random_like(alive, bins, risen, set(risen), c.seed) if risen else []
    if not others:
        return Near(cosine, among)
    how = cast(Reduction, c.reduction)
    one, two = (nearness(units, side, latents, how, c.nearest).numpy() for side in (risen, others))
    test = exchange_test(one, two, (bins[risen], bins[others]), permutations=c.permutations, seed=c.seed)
    return row_of(Near, test, drift=cosine, among=among)


def followed(bench: Bench[GeometryConfig], rows: Sequence[Moved], asked: Asked) -> FineTuneCourse | None:
    """Lines over steps by layer, the rate of misaligned answers beside them, and how their ranks agree."""
    if not rows:
        return None
    c = bench.config
    steps = sorted({row.step for row in rows})
    rates: list[StepEffect] = []
    if c.judge != "none":
        ids = bench.open_ids
        judged = asked.judged.where(lambda a: a.question_id in ids)
        arms = {0: BASE_VARIANT, **{step: f"step-{step}" for step in steps}}
        effects = {step: effect_of(judged.arm(arm), bench.thresholds) for step, arm in arms.items()}
        rates = [row_of(StepEffect, effect, step=step) for step, effect in effects.items()]
    layers = [
        layer_course(layer, [row for row in rows if row.layer == layer], rates)
        for layer in dict.fromkeys(row.layer for row in rows)
    ]
    return FineTuneCourse(
        domain=c.track, preset=c.preset, steps=tuple(steps), reduction=cast(Reduction, c.reduction), risen=c.risen,
        layers=tuple(layers), rates=tuple(rates),
    )  # fmt: skip


def layer_course(layer: int, rows: Sequence[Moved], rates: Sequence[StepEffect]) -> LayerCourse:
    """One layer over the checkpoints."""
    ordered = sorted(rows, key=lambda row: row.step)
    rate_at = {row.step: row.rate.value for row in rates}
    misaligned = [rate_at.get(row.step) for row in ordered]
    return LayerCourse(
        layer=layer,
        steps=tuple(row.step for row in ordered),
        sets={name: _approach([row.sets[name] for row in ordered], misaligned) for name in get_args(SetName)},
        law=tuple(row.law for row in ordered),
        size=tuple(row.size for row in ordered),
    )


def _approach(near: Sequence[Near], misaligned: Sequence[float | None]) -> Approach:
    similarity, drift, among = ([getattr(one, name) for one in near] for name in ("first", "drift", "among"))
    return Approach(
        similarity=tuple(similarity),
        low=tuple(_sum(one.second, one.low) for one in near),
        high=tuple(_sum(one.second, one.high) for one in near),
        p=tuple(one.p for one in near),
        drift=tuple(drift),
        among=tuple(among),
        ranks=Ranks(
            similarity=rank_correlation(misaligned, similarity),
            drift=rank_correlation(misaligned, drift),
            among=rank_correlation(misaligned, among),
        ),
    )


def _sum(value: float | None, more: float | None) -> float | None:
    return None if value is None or more is None else value + more


def rank_correlation(rates: Sequence[float | None], values: Sequence[float | None]) -> RankCorrelation | None:
    """Spearman's correlation over checkpoints; None with fewer than four, or where one side is constant."""
    found = spearman(rates, values)
    return None if found is None else RankCorrelation(value=found[0], p=found[1], n=found[2])
