"""From answers, verdicts and projections to the rows of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from misdirection.directions import Direction, cosines
from misdirection.results.rows import Interval, known_number, row_of
from misdirection.statistics.correlations import (
    How,
    pearson,
    permutation_p,
    prompt_correlation,
    question_mean,
)
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import numbers
from misdirection.studies.personas.measures import Projections
from misdirection.studies.personas.results import (
    CorrelationRow,
    DoseRow,
    MatrixRow,
    TraitRow,
    TunedRow,
    WatchedRow,
)
from misdirection.traits import Trait, score_table
from misdirection.traits.steering import best_dose, trait_of
from misdirection.traits.watching import WatchedPrompt

HOWS: tuple[How, ...] = ("overall", "between", "within")


@dataclass(frozen=True)
class LayerChoice:
    """The layer of a trait, and how it was chosen (`results.TraitRow`)."""

    layer: int
    coefficient: float
    by: str


def trait_rows(
    traits: Sequence[Trait],
    directions: Mapping[str, Direction],
    choices: Mapping[str, LayerChoice],
    separation: Mapping[str, tuple[float, ...]],
) -> tuple[TraitRow, ...]:
    """A row a trait."""
    found: list[TraitRow] = []
    for trait in traits:
        own, chosen = directions[trait.name], choices[trait.name]
        alike = {
            name: known_number(float(cosines(own.vectors, other.vectors)[chosen.layer]))
            for name, other in directions.items()
        }
        found.append(
            TraitRow(
                trait=trait.name,
                description=trait.description or trait.name,
                pairs=own.facts["pairs"],
                tried=own.facts["pairs tried"],
                fell_away=own.facts["fell away"],
                layer=chosen.layer,
                chosen_by=chosen.by,
                coefficient=chosen.coefficient,
                norm=numbers(own.norm),
                shuffled_norm=numbers(own.shuffled_norm),
                stability=tuple(known_number(float(value)) for value in own.stability),
                separation=separation[trait.name],
                cosines=alike,
            )
        )
    return tuple(found)


def _under(judged: Judged, dose: Condition) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores of the dose's trait, coherence, and questions of the answers under a dose."""
    places = [i for i, answer in enumerate(judged.answers) if answer.arm == dose.name]
    verdicts = [judged.verdicts[i] for i in places]
    coherence = np.array([v.coherence if v.coherence is not None else np.nan for v in verdicts])
    questions = [judged.answers[i].question_id for i in places]
    return score_table(verdicts, [trait_of(dose)])[:, 0], coherence, questions


def dose_rows(judged: Judged, doses: Sequence[Condition], coherent_above: float, sweep: bool) -> tuple[DoseRow, ...]:
    """A row a dose."""
    found: list[DoseRow] = []
    for dose in doses:
        scores, coherence, questions = _under(judged, dose)
        layer, coefficient = dose.point
        found.append(
            DoseRow(
                trait=trait_of(dose),
                layer=layer,
                coefficient=coefficient,
                under="no system prompt" if dose.kind is None else "asked for it",
                control=dose.control,
                sweep=sweep,
                score=row_of(Interval, question_mean(scores, questions)),
                coherent=float((coherence > coherent_above).mean()),
            )
        )
    return tuple(found)


def strongest(
    judged: Judged, doses: Sequence[Condition], coherent_share: float, coherent_above: float
) -> tuple[Condition, bool]:
    """The dose of a trait that shows it most, and whether it shows more than without: the interval is above zero.

    Answers are paired with those without any by question and sample.
    """
    held = {dose: _under(judged, dose) for dose in doses}
    plain = next(dose for dose in doses if dose.point[1] == 0)
    points = {
        dose: (_mean(scores), float((sense > coherent_above).mean()))
        for dose, (scores, sense, _) in held.items()
        if dose is not plain
    }
    best = best_dose(points, coherent_share)
    change = question_mean(held[best][0] - held[plain][0], held[best][2])
    return best, points[best][1] >= coherent_share and change.low > 0


def _mean(scores: np.ndarray) -> float:
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")


def watched_rows(
    prompts: Mapping[str, Sequence[WatchedPrompt]], along: Projections, judged: Judged, samples: int, seed: int
) -> tuple[tuple[WatchedRow, ...], tuple[CorrelationRow, ...]]:
    """Means by prompt, and correlations, of each trait's own prompts."""
    names, values = list(along.traits), along.array
    scores = score_table(judged.verdicts, names).reshape(len(values), samples, len(names))
    known = np.isfinite(scores).any(1)
    means = np.where(known, np.nansum(scores, 1) / np.maximum(np.isfinite(scores).sum(1), 1), np.nan)
    watched: list[WatchedRow] = []
    found: list[CorrelationRow] = []
    start = 0
    for trait, held in prompts.items():
        place, here = names.index(trait), slice(start, start + len(held))
        start += len(held)
        x, y = values[here, place], means[here, place]
        watched += _by_prompt(trait, held, x, y)
        for kinds in ("all", "system", "many-shot"):
            keep = np.array([kinds in ("all", one.kind) for one in held])
            if not keep.any():
                continue
            kept = [one for one, wanted in zip(held, keep, strict=True) if wanted]
            labels = [one.prompt for one in kept], [one.text for one in kept]
            for how in HOWS:
                r = row_of(Interval, prompt_correlation(x[keep], y[keep], *labels, how, seed=seed))
                found.append(CorrelationRow(trait=trait, kinds=kinds, how=how, r=r))
    return tuple(watched), tuple(found)


def _by_prompt(trait: str, held: Sequence[WatchedPrompt], x: np.ndarray, y: np.ndarray) -> list[WatchedRow]:
    rows: list[WatchedRow] = []
    for prompt, kind in dict.fromkeys((one.prompt, one.kind) for one in held):
        here = np.array([one.prompt == prompt for one in held])
        score = known_number(_mean(y[here]))
        rows.append(WatchedRow(trait=trait, kind=kind, prompt=prompt, projection=float(x[here].mean()), score=score))
    return rows


def placed_rows(prompts: Mapping[str, Sequence[WatchedPrompt]], along: Projections) -> tuple[WatchedRow, ...]:
    """Means by prompt of projections alone, where nobody scores what follows."""
    names, values = list(along.traits), along.array
    found: list[WatchedRow] = []
    start = 0
    for trait, held in prompts.items():
        x = values[start : start + len(held), names.index(trait)]
        start += len(held)
        found += _by_prompt(trait, held, x, np.full(len(held), np.nan))
    return tuple(found)


def shift_rows(along: Mapping[str, Projections], questions: Sequence[str], seed: int) -> tuple[TunedRow, ...]:
    """How far each fine-tune moves along each trait; the base stands first. Scores are not known."""
    base, *others = along
    unknown = Interval(value=None, low=None, high=None, n=0)
    found: list[TunedRow] = []
    for name in others:
        moved = along[name].array - along[base].array
        for place, trait in enumerate(along[base].traits):
            shift = row_of(Interval, question_mean(moved[:, place], questions, seed=seed))
            found.append(TunedRow(fine_tune=name, trait=trait, score=unknown, change=None, shift=shift))
    return tuple(found)


def tuned_rows(
    judged: Judged, along: Mapping[str, Projections], questions: Sequence[str], seed: int
) -> tuple[TunedRow, ...]:
    """Each variant's score of each trait, and for the fine-tunes what changed from the base."""
    variants = list(along)
    names = list(along[variants[0]].traits)
    arms = np.array([answer.arm for answer in judged.answers])
    scores = score_table(judged.verdicts, names)
    asked = [answer.question_id for answer in judged.answers if answer.arm == variants[0]]
    base, base_along = scores[arms == variants[0]], along[variants[0]].array
    found: list[TunedRow] = []
    for variant in variants:
        own = scores[arms == variant]
        moved = along[variant].array - base_along
        for place, trait in enumerate(names):
            after = variant != variants[0]
            change = question_mean(own[:, place] - base[:, place], asked, seed=seed) if after else None
            shift = question_mean(moved[:, place], questions, seed=seed) if after else None
            found.append(
                TunedRow(
                    fine_tune=variant,
                    trait=trait,
                    score=row_of(Interval, question_mean(own[:, place], asked, seed=seed)),
                    change=change and row_of(Interval, change),
                    shift=shift and row_of(Interval, shift),
                )
            )
    return tuple(found)


def matrix_rows(moved: Sequence[TunedRow], traits: Sequence[str], seed: int) -> tuple[MatrixRow, ...]:
    """The shift along each trait against the change in showing each, over all fine-tunes; none under three."""
    shifts, changes = (_by_trait(moved, traits, field) for field in ("shift", "change"))
    if len(shifts[traits[0]]) < 3:
        return ()
    found: list[MatrixRow] = []
    for vector in traits:
        for shown in traits:
            x, y = shifts[vector], changes[shown]
            known = np.isfinite(x) & np.isfinite(y)
            r, p = pearson(x[known], y[known]), permutation_p(x[known], y[known], seed=seed)
            found.append(MatrixRow(vector=vector, shown=shown, fine_tunes=int(known.sum()), r=r, p=known_number(p)))
    return tuple(found)


def _by_trait(moved: Sequence[TunedRow], traits: Sequence[str], field: str) -> dict[str, np.ndarray]:
    """By trait, a figure of each fine-tune, in their order."""
    return {
        trait: np.array(
            [
                np.nan if held.value is None else held.value
                for row in moved
                if row.trait == trait and (held := getattr(row, field)) is not None
            ],
            dtype=np.float64,
        )
        for trait in traits
    }
