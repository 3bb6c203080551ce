"""How alike the directions of a grid are, layer by layer, beside what directions that mean nothing would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from misdirection import progress
from misdirection.directions.null import Nulls, cosine_band
from misdirection.directions.similarity import cosine_ceiling, cosine_matrices, relative_differences
from misdirection.directions.subspaces import principal_angles, shared_variance
from misdirection.studies.convergence.grid import Member, groups_of, related
from misdirection.studies.kit.tables import numbers

HIGH = 0.8
"""Above which every pair of the paper's lies in all but 4 of 48 layers (2506.11618 figure 12)."""


def likeness(
    grid: Sequence[Member], vectors: Tensor, stability: Tensor | None, nulls: Sequence[Nulls]
) -> dict[str, Any]:
    """Every figure of how alike the directions are.

    Args:
        grid: Whose directions.
        vectors: Shape (directions, n_layers, width).
        stability: Cosine between halves, (directions, n_layers); None where it is not known.
        nulls: Shuffled and matched directions of each; empty where there are none.
    """
    cosine, apart = cosine_matrices(vectors), relative_differences(vectors)
    pairs = list(combinations(range(len(grid)), 2))
    every = torch.stack([cosine[:, i, j] for i, j in pairs])
    return {
        "names": [member.name for member in grid],
        "width": vectors.shape[-1],
        "cosine": [[numbers(row) for row in layer] for layer in cosine],
        "difference": [[numbers(row) for row in layer] for layer in apart],
        "norms": [numbers(row) for row in vectors.norm(dim=-1)],
        "pairs": len(pairs),
        "mean": numbers(every.mean(0)),
        "lowest": numbers(every.min(0).values),
        "highest": numbers(every.max(0).values),
        "above": numbers((every > HIGH).double().mean(0)),
        "relations": {
            name: numbers(torch.stack([cosine[:, i, j] for i, j in held]).mean(0))
            for name, held in related(grid).items()
        },
        "ceiling": None if stability is None else _ceiling(stability, pairs),
        "null": {"free": _band([n.free for n in nulls]), "within": _band([n.within for n in nulls])} if nulls else None,
        "matched": _matched(nulls, pairs),
        "shared": _shared(vectors, nulls),
        "angles": angles(grid, vectors, nulls),
    }


def _ceiling(stability: Tensor, pairs: Sequence[tuple[int, int]]) -> list[float | None]:
    """Mean over pairs of the cosine that equal directions would be measured to have; None where it is not known."""
    most = cosine_ceiling(stability)
    found = torch.stack([most[:, i, j] for i, j in pairs]).mean(0)
    return [None if value != value else value for value in numbers(found)]


def _matched(nulls: Sequence[Nulls], pairs: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    """Mean, lowest and highest cosine of the directions with matched questions, and its null; None if one has none."""
    if not nulls or any(bool(null.matched.isnan().any()) for null in nulls):
        return None
    cosine = cosine_matrices(torch.stack([null.matched for null in nulls]))
    every = torch.stack([cosine[:, i, j] for i, j in pairs])
    return {
        "mean": numbers(every.mean(0)),
        "lowest": numbers(every.min(0).values),
        "highest": numbers(every.max(0).values),
        "null": _band([null.matched_free for null in nulls]),
        "questions": [null.mixed for null in nulls],
    }


def _band(shuffled: Sequence[Tensor]) -> Mapping[str, tuple[float, ...]]:
    low, high = cosine_band(shuffled)
    return {"low": numbers(low), "high": numbers(high)}


def _shared(vectors: Tensor, nulls: Sequence[Nulls]) -> dict[str, Any]:
    """Share of one common axis at each layer, and its mean over shuffled labels."""
    layers = range(vectors.shape[1])
    null = None
    if nulls:
        held = torch.stack([null.free for null in nulls])
        null = numbers(
            torch.stack([shared_variance(held[:, k, at])[0] for k in range(held.shape[1])]).mean() for at in layers
        )
    return {"first": numbers(shared_variance(vectors[:, at])[0] for at in layers), "null": null}


def angles(grid: Sequence[Member], vectors: Tensor, nulls: Sequence[Nulls]) -> list[dict[str, Any]]:
    """Principal angles in degrees between the subspaces of every two groups, by data and by preset.

    The null is the 5th percentile, over shuffled labels, of the smallest and of the largest angle: what lies below it
    is closer than chance.
    """
    wanted = [
        (by, one, other, split[one], split[other])
        for by, split in groups_of(grid).items()
        for one, other in combinations(split, 2)
    ]
    found: list[dict[str, Any]] = []
    with progress.task("subspace angles", len(wanted), "pairs of groups") as advance:
        for by, one, other, first, second in wanted:
            found.append(
                {"by": by, "one": one, "other": other, "dimensions": [len(first), len(second)],
                 **_ends(_angles(vectors, first, second)), "null": _angle_null(nulls, first, second)}
            )  # fmt: skip
            advance()
    return found


def _angles(vectors: Tensor, first: Sequence[int], second: Sequence[int]) -> list[Tensor]:
    return [principal_angles(vectors[first, at], vectors[second, at]) for at in range(vectors.shape[1])]


def _ends(by_layer: Sequence[Tensor]) -> Mapping[str, tuple[float, ...]]:
    return {"smallest": numbers(a[0] for a in by_layer), "largest": numbers(a[-1] for a in by_layer)}


def _angle_null(
    nulls: Sequence[Nulls], first: Sequence[int], second: Sequence[int]
) -> Mapping[str, tuple[float, ...]] | None:
    if not nulls:
        return None
    held = torch.stack([null.free for null in nulls])
    drawn = [_angles(held[:, k], first, second) for k in range(held.shape[1])]
    return {
        name: numbers(torch.tensor([[float(a[place]) for a in draw] for draw in drawn]).quantile(0.05, dim=0))
        for name, place in (("smallest", 0), ("largest", -1))
    }
