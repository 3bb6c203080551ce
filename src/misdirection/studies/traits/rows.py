"""From means and projections to the rows of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from misdirection.judging import Answer, Verdict
from misdirection.results.rows import Interval, known_number, row_of
from misdirection.statistics.correlations import mid_ranks, pearson, permutation_p, question_mean
from misdirection.studies.traits.measures import DEFAULT, NEUTRAL, RoleMeans
from misdirection.studies.traits.results import Dimensions, InducedRow, MoveRow, PlaceRow, RankRow
from misdirection.traits import Trait, score_table
from misdirection.traits.space import alike, clusters, cosine_distances, dimension, map_error, neighbours, scaled

AXIS = "assistant axis"
NEAREST = 5


@dataclass(frozen=True)
class Space:
    """The traits in their order on the page.

    Attributes:
        names: Of the units: every trait, and the axis.
        units: Unit directions, shape (names, width), float32.
        places: A row a name, like beside like.
        dimensions: Of the traits, without the axis.
        cosines: By name, with every name.
    """

    names: tuple[str, ...]
    units: Tensor
    places: tuple[PlaceRow, ...]
    dimensions: Dimensions
    cosines: Mapping[str, Mapping[str, float]]

    def unit(self, name: str) -> Tensor:
        """The unit direction of a trait."""
        return self.units[self.names.index(name)]


def directions_of(means: RoleMeans, part: int) -> np.ndarray:
    """Each trait's mean minus the neutral one, and the axis below them; shape (traits + 1, width).

    Args:
        means: Of every role.
        part: 0 over all questions, 1 over the even ones, 2 over the odd ones.
    """
    held = means.means[:, part].double().numpy()
    neutral, own = (held[means.names.index(name)] for name in (NEUTRAL, DEFAULT))
    roles = held[[place for place, name in enumerate(means.names) if name not in (NEUTRAL, DEFAULT)]]
    return np.vstack([roles - neutral, own - roles.mean(0)])


def space_of(means: RoleMeans, known: Sequence[Trait]) -> Space:
    """Steps 2 and 3 of the study."""
    names = [name for name in means.names if name not in (NEUTRAL, DEFAULT)]
    whole, first, second = (directions_of(means, part) for part in range(3))
    vectors, halves = whole[:-1], (first[:-1], second[:-1])
    distances = cosine_distances(whole)
    # The axis is away from all roles by what it is: among the traits it would be a group of its own, and nothing else.
    grouped = clusters(distances[:-1, :-1])
    labels, order = (*grouped.labels, max(grouped.labels) + 1), (*grouped.order, len(names))
    drawn = scaled(distances, 2)
    cosines = 1 - distances
    families = {trait.name: trait.family for trait in known}
    steady = _row_cosines(first, second)
    every = (*names, AXIS)
    places = tuple(
        PlaceRow(
            trait=every[i],
            family=families.get(every[i], "") or ("axis" if every[i] == AXIS else "trait"),
            cluster=labels[i],
            x=float(drawn[i, 0]),
            y=float(drawn[i, 1]),
            norm=float(np.linalg.norm(whole[i])),
            stability=float(steady[i]),
            axis=float(cosines[i, -1]),
            nearest=tuple(every[j] for j in neighbours(distances, i)[:NEAREST]),
            cosines=tuple(float(cosines[i, j]) for j in order),
        )
        for i in order
    )
    found = dimension(vectors, *halves)
    tables = [cosine_distances(half) for half in halves]
    on_first = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2][0]
    dimensions = Dimensions(
        share=found.share,
        reliable=found.reliable,
        participation=found.participation,
        reliable_participation=found.reliable_participation,
        stress=found.stress,
        likeness=alike(*tables),
        map_error=map_error(*(scaled(table, 2) for table in tables)),
        silhouette=grouped.silhouette,
        axis_on_first=float(abs(on_first @ whole[-1]) / max(float(np.linalg.norm(whole[-1])), 1e-300)),
    )
    units = torch.nn.functional.normalize(torch.from_numpy(whole), dim=-1).float()
    table = {a: {b: float(cosines[i, j]) for j, b in enumerate(every)} for i, a in enumerate(every)}
    return Space(every, units, places, dimensions, table)


def _row_cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / np.maximum(norms, 1e-300)


def move_rows(
    space: Space, along: Mapping[str, Sequence[Sequence[float]]], questions: Sequence[str], seed: int
) -> tuple[MoveRow, ...]:
    """How far each fine-tune moves the last token along every trait and the axis; the base stands first in `along`."""
    base, *others = along
    found: list[MoveRow] = []
    for name in others:
        shifts = np.array(along[name]) - np.array(along[base])
        for place, trait in enumerate(space.names):
            mean = question_mean(shifts[:, place], questions, seed=seed)
            found.append(MoveRow(fine_tune=name, trait=trait, shift=row_of(Interval, mean)))
    return tuple(found)


def rank_row(space: Space, moved: Sequence[MoveRow], fine_tune: str, trained: str, seed: int) -> RankRow:
    """Whether the traits that are most like the trained one move most; the axis is no trait here."""
    shifts = {
        row.trait: row.shift.value
        for row in moved
        if row.fine_tune == fine_tune and row.trait != AXIS and row.shift.value is not None
    }
    others = [name for name in shifts if name != trained]
    like = mid_ranks(np.array([space.cosines[trained][name] for name in others]))
    far = mid_ranks(np.array([shifts[name] for name in others]))
    ordered = sorted(shifts, key=lambda name: -shifts[name])
    return RankRow(
        fine_tune=fine_tune,
        trained=trained,
        rho=pearson(like, far),
        p=known_number(permutation_p(like, far, seed=seed)),
        traits=len(others),
        place=ordered.index(trained) + 1,
        most=tuple(ordered[:NEAREST]),
    )


def induced_rows(
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict],
    chosen: Sequence[Trait],
    alphas: Sequence[float],
    above: float,
) -> tuple[InducedRow, ...]:
    """A row a trait and multiple."""
    found: list[InducedRow] = []
    for trait in chosen:
        for alpha in (None, *alphas):
            arm = f"{trait.name}/as it is" if alpha is None else f"{trait.name}/{alpha:g}"
            places = [i for i, answer in enumerate(answers) if answer.arm == arm]
            held = [verdicts[i] for i in places]
            scores = score_table(held, [trait.name])[:, 0]
            mean = question_mean(scores, [answers[i].question_id for i in places])
            coherent = sum((v.coherence or 0.0) > above for v in held) / max(len(held), 1)
            found.append(InducedRow(trait=trait.name, alpha=alpha, score=row_of(Interval, mean), coherent=coherent))
    return tuple(found)


def notes(means: RoleMeans, tuned: bool) -> list[str]:
    """What a reader should know, in a sentence each."""
    found = [f"{means.unread} answers could not be read and stand out of the means."] if means.unread else []
    if not tuned:
        found.append("No fine-tune was named (--data, --fine-tune), so what fine-tuning moves was not asked.")
    return found
