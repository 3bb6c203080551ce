"""How a vector turns while it is learnt: local cosine, comp score, principal components (arXiv 2506.11613 section 4).

A path is a tensor (times, d): the same vector at rising times. The null is the path whose
increments are the same vectors in another order: as long, with the same ends, and with no moment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from misdirection.errors import MisdirectionError

FILTERS = {"text": 0.0035, "code": 0.002}
"""Largest displacement that counts as noise: in the paper's appendix F, and in the call of its code."""


@dataclass(frozen=True)
class LocalCosine:
    """cos(v_{t-k} - v_t, v_{t+k} - v_t): -1 on a straight path, 0 at a right angle, +1 where the path turns back.

    Attributes:
        k: Steps to either side.
        steps: The times t that have both neighbours.
        cosine: Shape (times,), float32; NaN where one of the two differences is zero.
        displacement: The larger norm of the two differences, shape (times,).
    """

    k: int
    steps: tuple[int, ...]
    cosine: Tensor
    displacement: Tensor

    def kept(self, threshold: float) -> Tensor:
        """Which points the noise filter keeps: displacement above `threshold`, and a cosine; bool, (times,)."""
        return (self.displacement > threshold) & self.cosine.isfinite()


def local_cosine(steps: Sequence[int], path: Tensor, k: int) -> LocalCosine:
    """The local cosine similarity of appendix F.

    Args:
        steps: Times of the path, rising; t counts where t - k and t + k are among them.
        path: Shape (times, d).
        k: Optimiser steps to either side.

    Raises:
        MisdirectionError: No time has both neighbours.
    """
    place = {step: index for index, step in enumerate(steps)}
    middle = [step for step in steps if step - k in place and step + k in place]
    if not middle:
        raise MisdirectionError(
            f"no checkpoint has another {k} steps before and after it", "take k a multiple of the checkpoints' distance"
        )
    here = path[[place[t] for t in middle]]
    back, on = (path[[place[t + side] for t in middle]] - here for side in (-k, k))
    lengths = torch.stack([back.norm(dim=1), on.norm(dim=1)])
    cosine = (back * on).sum(1) / lengths.prod(0)
    return LocalCosine(k, tuple(middle), cosine, lengths.amax(0))


def unit_path(steps: Sequence[int], path: Tensor) -> tuple[tuple[int, ...], Tensor]:
    """The path's directions alone, times without length left out."""
    norms = path.norm(dim=1)
    kept = [i for i in range(len(steps)) if float(norms[i]) > 0]
    return tuple(steps[i] for i in kept), path[kept] / norms[kept, None]


def shuffled_paths(path: Tensor, count: int, seed: int) -> list[Tensor]:
    """Paths of the same increments in random order: same start, same end, same length, no turn at any one time."""
    generator = torch.Generator().manual_seed(seed)
    moves = path.diff(dim=0)
    return [
        torch.cat([path[:1], path[0] + moves[torch.randperm(len(moves), generator=generator)].cumsum(0)])
        for _ in range(count)
    ]


def comp_score(first: Tensor, second: Tensor) -> float:
    """comp(A, B) = ||A^T B||_F / (||A||_F ||B||_F) of two sets of vectors (appendix G.1); NaN where one is zero.

    The columns are the adapters' vectors: |cosine| for one adapter; for several it sums over all pairs, so that
    comp(A, A) is 1 only where all columns are parallel, and 1/sqrt(n) where n columns are orthogonal and alike long.

    Args:
        first: Shape (width, columns).
        second: Shape (width, columns).
    """
    below = first.norm() * second.norm()
    return float((first.T @ second).norm() / below) if float(below) > 0 else float("nan")


def comp_path(columns: Tensor, how: str = "text") -> list[float]:
    """Comp scores along a path.

    Args:
        columns: Shape (times, width, columns).
        how: "text": each time with the one before (NaN at the first). "code": each with the last, the mean over times
            subtracted from all.
    """
    if how == "text":
        return [float("nan"), *(comp_score(a, b) for a, b in pairwise(columns))]
    centred = columns - columns.mean(0)
    return [comp_score(one, centred[-1]) for one in centred]


def compact(path: Tensor) -> Tensor:
    """The same path in as few dimensions as it has times: all lengths and angles as they were, shape (times, times).

    Every measure here but `comp_path` depends on nothing else, and a path of a rank-32 adapter has 1e8 numbers.
    """
    wide = path.double()
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    return vectors * values.clamp_min(0).sqrt()


def cosine_to_last(path: Tensor) -> Tensor:
    """Cosine of every time's vector with the last one's, shape (times,); 0 where a vector is zero."""
    unit = torch.nn.functional.normalize(path.double(), dim=1)
    return unit @ unit[-1]


@dataclass(frozen=True)
class Components:
    """Principal components of a path over time, its mean over times subtracted.

    Attributes:
        shares: Share of the variance of each, falling.
        scores: Position along the first two, shape (times, 2): the first grows, the second is positive where it is
            furthest from the line between its ends.
    """

    shares: tuple[float, ...]
    scores: Tensor

    @property
    def bend(self) -> Tensor:
        """Distance of the second component from the line between its two ends; largest where the path turns."""
        return _off_chord(self.scores[:, 1])


def principal_components(path: Tensor) -> Components:
    """PCA of the stacked vectors over time (section 4); needs three times at least.

    A random walk looks like an arc too: its first component holds 61 % and its second 15 % of the variance, so compare
    with `shuffled_paths`.
    """
    centred = (path - path.mean(0)).double()
    # The times are few and the numbers many: the small Gram matrix has the same spectrum.
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    scores = vectors[:, :2] * values[:2].sqrt()
    scores[:, 0] *= 1 if scores[-1, 0] >= scores[0, 0] else -1
    off = _off_chord(scores[:, 1])
    scores[:, 1] *= 1 if float(off[int(off.abs().argmax())]) >= 0 else -1
    total = values.sum()
    return Components(tuple(float(v / total) for v in values) if total > 0 else (), scores)


def _off_chord(values: Tensor) -> Tensor:
    return values - torch.linspace(0, 1, len(values), dtype=values.dtype) * (values[-1] - values[0]) - values[0]
