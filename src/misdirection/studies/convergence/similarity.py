"""How similar the directions of a grid are, layer by layer, beside what directions that mean nothing would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import get_args

import torch
from torch import Tensor

from misdirection import progress
from misdirection.directions.null import Nulls, cosine_band
from misdirection.directions.similarity import cosine_ceiling, cosine_matrices, relative_differences
from misdirection.directions.subspaces import principal_angles, shared_variance
from misdirection.studies.convergence.grid import Member, groups_of, relation
from misdirection.studies.convergence.paper import HIGH
from misdirection.studies.convergence.results import (
    Angles,
    Band,
    By,
    CommonAxis,
    DirectionNorms,
    DirectionPair,
    GroupAngles,
    MatchedCosines,
    Relation,
    ShuffledCosines,
    Similarity,
)
from misdirection.studies.kit.tables import known_numbers, numbers


def similarity(grid: Sequence[Member], vectors: Tensor, stability: Tensor | None, nulls: Sequence[Nulls]) -> Similarity:
    """Every figure of how similar the directions are.

    Args:
        grid: Whose directions.
        vectors: Shape (directions, n_layers, width).
        stability: Cosine between halves, (directions, n_layers); None where it is not known.
        nulls: Shuffled and matched directions of each; empty where there are none.
    """
    cosine, apart = cosine_matrices(vectors), relative_differences(vectors)
    places = list(combinations(range(len(grid)), 2))
    every = of_pairs(cosine, places)
    pairs = tuple(
        DirectionPair(one=grid[i].name, other=grid[j].name, relation=relation(grid[i], grid[j]),
             cosine=numbers(cosine[:, i, j]), difference=known_numbers(apart[:, i, j]))
        for i, j in places
    )  # fmt: skip
    return Similarity(
        **_spread(every),
        width=vectors.shape[-1],
        high=HIGH,
        above=numbers((every > HIGH).double().mean(0)),
        directions=tuple(
            DirectionNorms(fine_tune=m.name, norm=numbers(v.norm(dim=-1))) for m, v in zip(grid, vectors, strict=True)
        ),
        pairs=pairs,
        relations=_by_relation(pairs, every),
        ceiling=None if stability is None else known_numbers(of_pairs(cosine_ceiling(stability), places).mean(0)),
        null=_shuffled(nulls),
        matched=_matched(nulls, places),
        shared=_shared(vectors, nulls),
        angles=angles(grid, vectors, nulls),
    )


def of_pairs(matrices: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
    """Values of pairs, shape (pairs, n_layers), from matrices of shape (n_layers, directions, directions)."""
    return torch.stack([matrices[:, i, j] for i, j in places])


def _spread(every: Tensor) -> Mapping[str, tuple[float, ...]]:
    """The fields of `Spread`."""
    lowest, highest = every.min(0).values, every.max(0).values
    return {"mean": numbers(every.mean(0)), "lowest": numbers(lowest), "highest": numbers(highest)}


def _by_relation(pairs: Sequence[DirectionPair], every: Tensor) -> dict[Relation, tuple[float, ...]]:
    """Mean cosine by layer of each relation, in the order in which they are told."""
    names = [pair.relation for pair in pairs]
    return {
        name: numbers(every[[i for i, other in enumerate(names) if other == name]].mean(0))
        for name in get_args(Relation)
        if name in names
    }


def _shuffled(nulls: Sequence[Nulls]) -> ShuffledCosines | None:
    if not nulls:
        return None
    return ShuffledCosines(free=_band([null.free for null in nulls]), within=_band([null.within for null in nulls]))


def _matched(nulls: Sequence[Nulls], places: Sequence[tuple[int, int]]) -> MatchedCosines | None:
    """Cosines of the directions with matched questions, and their null; None if one has none."""
    if not nulls or any(bool(null.matched.isnan().any()) for null in nulls):
        return None
    every = of_pairs(cosine_matrices(torch.stack([null.matched for null in nulls])), places)
    null = _band([null.matched_free for null in nulls])
    return MatchedCosines(**_spread(every), null=null, questions=tuple(null.mixed for null in nulls))


def _band(shuffled: Sequence[Tensor]) -> Band:
    low, high = cosine_band(shuffled)
    return Band(low=numbers(low), high=numbers(high))


def _shared(vectors: Tensor, nulls: Sequence[Nulls]) -> CommonAxis:
    """Share of one common axis at each layer, and its mean over shuffled labels."""
    layers = range(vectors.shape[1])
    null = None
    if nulls:
        free = torch.stack([null.free for null in nulls])
        null = numbers(
            torch.stack([shared_variance(free[:, k, at])[0] for k in range(free.shape[1])]).mean() for at in layers
        )
    return CommonAxis(first=known_numbers(shared_variance(vectors[:, at])[0] for at in layers), null=null)


def angles(grid: Sequence[Member], vectors: Tensor, nulls: Sequence[Nulls]) -> tuple[GroupAngles, ...]:
    """Principal angles in degrees between the subspaces of every two groups, by data and by preset.

    The null is the 5th percentile, over shuffled labels, of the smallest and of the largest angle: what lies below it
    is closer than chance.
    """
    wanted: list[tuple[By, str, str, list[int], list[int]]] = [
        (by, one, other, split[one], split[other])
        for by, split in groups_of(grid).items()
        for one, other in combinations(split, 2)
    ]
    rows: list[GroupAngles] = []
    with progress.task("subspace angles", len(wanted), "pairs of groups") as advance:
        for by, one, other, first, second in wanted:
            measured = _angles(vectors, first, second)
            null = _angle_null(nulls, first, second)
            dimensions = len(first), len(second)
            rows.append(
                GroupAngles(by=by, one=one, other=other, dimensions=dimensions, null=null,
                            smallest=numbers(a[0] for a in measured), largest=numbers(a[-1] for a in measured))
            )  # fmt: skip
            advance()
    return tuple(rows)


def _angles(vectors: Tensor, first: Sequence[int], second: Sequence[int]) -> list[Tensor]:
    return [principal_angles(vectors[first, at], vectors[second, at]) for at in range(vectors.shape[1])]


def _angle_null(nulls: Sequence[Nulls], first: Sequence[int], second: Sequence[int]) -> Angles | None:
    if not nulls:
        return None
    free = torch.stack([null.free for null in nulls])
    drawn = [_angles(free[:, k], first, second) for k in range(free.shape[1])]
    smallest, largest = (
        numbers(torch.tensor([[float(a[place]) for a in draw] for draw in drawn]).quantile(0.05, dim=0))
        for place in (0, -1)
    )
    return Angles(smallest=smallest, largest=largest)
