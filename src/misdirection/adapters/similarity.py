"""What an adapter writes, and what that does further on, against a direction (arXiv 2506.11618 appendix D).

The paper: the B vector of a single rank-1 adapter has cosine 0.04 with the direction at its layer, and yet what both do
to later layers is alike (cosine 0.42 by layer 40).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from misdirection.adapters.weights import LoraPair, pairs_of
from misdirection.directions import random_like
from misdirection.engine import Arm, ScaleAdapter, Steer, Text, capture_means, capture_scalars
from misdirection.engine.interventions import Intervention
from misdirection.errors import MisdirectionError
from misdirection.models import Model

SPAN = "answer"


@dataclass(frozen=True)
class Effect:
    """What one adapter layer does to later layers, against what the direction added at that layer does.

    Attributes:
        layer: Where the adapter and the steering act; None for the whole adapter, beside steering at `at`.
        at: Where the steering acts.
        cosine: By kind of answer, one a layer; None before both act.
        random: Steering by random directions of the same norm instead: largest absolute cosine over seeds, by kind.
        norm: Norm of the adapter's mean difference over that of the steering's, by kind.
    """

    layer: int | None
    at: int
    cosine: Mapping[str, list[float | None]]
    random: Mapping[str, list[float | None]]
    norm: Mapping[str, list[float | None]]


def b_cosine(b: Tensor, vector: Tensor) -> float:
    """Cosine of B with a vector: of the column itself for rank 1; else of the vector with the columns' span (0 .. 1).

    The sign of B alone means nothing (A and B can change sign together); read it beside the mean scalar.

    Args:
        b: Shape (width, rank).
        vector: Shape (width,).
    """
    unit = torch.nn.functional.normalize(vector.double(), dim=0)
    if b.shape[1] == 1:
        return float(torch.nn.functional.normalize(b[:, 0].double(), dim=0) @ unit)
    left, values, _ = torch.linalg.svd(b.double(), full_matrices=False)
    basis = left[:, values > values.max() * 1e-9]
    return float((basis.T @ unit).norm())


def chance(width: int, rank: int) -> float:
    """The cosine below which 95 % of random directions stay.

    Rank 1: 1.96 / sqrt(width). Rank r: sqrt of the 95th percentile of Beta(r/2, (width - r)/2), the squared length of
    a random unit vector's projection on r dimensions.
    """
    if rank == 1:
        return 1.96 / math.sqrt(width)
    if rank >= width:
        return 1.0
    from scipy import stats

    quantile: Any = stats.beta.ppf(0.95, rank / 2, (width - rank) / 2)
    return math.sqrt(float(quantile))


def written(model: Model, adapter: str, vectors: Tensor, texts: Mapping[str, Sequence[Text]]) -> list[dict[str, Any]]:
    """Each adapted module that writes into the residual stream: B against the direction, and the mean push along it.

    The push is scaling * (mean of A·x)^T B^T v over answer tokens, with v of length 1: how far an answer's tokens are
    moved along the direction at that layer by this module itself.

    Args:
        model: The resident model.
        adapter: Which adapter.
        vectors: Direction by layer, shape (n_layers, width).
        texts: Answers by kind, with the span "answer", under an arm that has the adapter on.
    """
    means = {kind: _mean_scalars(model, adapter, held) for kind, held in texts.items() if held}
    rows: list[dict[str, Any]] = []
    for pair in pairs_of(model, adapter):
        if not pair.writes:
            continue
        vector = vectors[pair.layer]
        unit = torch.nn.functional.normalize(vector.double(), dim=0)
        along = pair.scaling * (pair.b.double().T @ unit)
        rows.append(
            {
                "path": pair.path,
                "layer": pair.layer,
                "rank": pair.rank,
                "cosine": b_cosine(pair.b, vector),
                "chance": chance(len(vector), pair.rank),
                "scalar": {kind: float(mean[pair.path].norm() if pair.rank > 1 else mean[pair.path][0])
                           for kind, mean in means.items()},
                "push": {kind: float(mean[pair.path] @ along) for kind, mean in means.items()},
                "direction": float(vector.norm()),
            }
        )  # fmt: skip
    return rows


def _mean_scalars(model: Model, adapter: str, texts: Sequence[Text]) -> dict[str, Tensor]:
    """Mean A·x over answer tokens by module path, shape (rank,), float64."""
    sums: dict[str, Tensor] = {}
    count = 0
    for text, values in zip(texts, capture_scalars(model, texts, adapter), strict=True):
        first, past = text.spans[SPAN]
        count += past - first
        for path, scalars in values.items():
            sums[path] = sums.get(path, 0.0) + scalars[first:past].double().sum(0)
    return {path: total / max(1, count) for path, total in sums.items()}


def downstream(
    model: Model,
    adapter: str,
    vectors: Tensor,
    texts: Mapping[str, Sequence[Text]],
    layers: Sequence[int],
    *,
    coefficient: float = 1.0,
    seeds: Sequence[int] = (1, 2, 3),
) -> list[Effect]:
    """What each adapter layer alone, and the whole adapter, does to the mean residual stream of the same answers.

    Differences to the model without adapter, averaged over answer tokens, at every layer: of one adapter layer against
    x + coefficient * v at the same layer; of the whole adapter against the same at its middle layer. All arms share one
    pass.

    Args:
        model: The resident model.
        adapter: Which adapter.
        vectors: Direction by layer, shape (n_layers, width).
        texts: Answers by kind, with the span "answer"; the arm that they name is not used.
        layers: Adapter layers to look at.
        coefficient: Of steering.
        seeds: Of the random directions of the same norm.

    Raises:
        MisdirectionError: No layer, or no answer.
    """
    kinds = [kind for kind in texts if texts[kind]]
    if not layers or not kinds:
        raise MisdirectionError("what an adapter does downstream needs a layer of it and an answer to read")
    arms = _arms(adapter, vectors, layers, coefficient, seeds)
    columns = [(arm, kind) for arm in arms for kind in kinds]
    rows = [Text(t.ids, {SPAN: t.spans[SPAN]}, arms[arm], t.start) for arm, kind in columns for t in texts[kind]]
    sizes = [len(texts[kind]) for _, kind in columns]
    weights = torch.zeros(len(rows), len(columns))
    weights[torch.arange(len(rows)), torch.repeat_interleave(torch.arange(len(columns)), torch.tensor(sizes))] = 1.0
    means = dict(zip(columns, capture_means(model, rows, weights).mean(SPAN), strict=True))
    moved = {(arm, kind): mean - means["off", kind] for (arm, kind), mean in means.items() if arm != "off"}
    middle = layers[len(layers) // 2]
    return [
        _effect(moved, kinds, None, "whole", middle, seeds),
        *(_effect(moved, kinds, layer, f"only {layer}", layer, seeds) for layer in layers),
    ]


def _arms(
    adapter: str, vectors: Tensor, layers: Sequence[int], coefficient: float, seeds: Sequence[int]
) -> dict[str, Arm]:
    def steer(name: str, layer: int, direction: Tensor) -> Arm:
        done: tuple[Intervention, ...] = (Steer(direction, (layer,), coefficient),)
        return Arm(name, None, done)

    arms = [Arm("off"), Arm("whole", adapter)]
    arms += [Arm(f"only {layer}", adapter, (ScaleAdapter({layer: 1.0}, 0.0),)) for layer in layers]
    arms += [steer(f"steer {layer}", layer, vectors) for layer in layers]
    arms += [steer(f"random {layer} {s}", layer, random_like(vectors, s)) for layer in layers for s in seeds]
    return {arm.name: arm for arm in arms}


def _effect(
    moved: Mapping[tuple[str, str], Tensor],
    kinds: Sequence[str],
    layer: int | None,
    name: str,
    at: int,
    seeds: Sequence[int],
) -> Effect:
    def likeness(kind: str, other: str) -> list[float | None]:
        one, two = moved[name, kind], moved[other, kind]
        found = torch.nn.functional.cosine_similarity(one, two, dim=-1).tolist()
        return [None if place < at else value for place, value in enumerate(found)]

    def ratio(kind: str) -> list[float | None]:
        found = (moved[name, kind].norm(dim=-1) / moved[f"steer {at}", kind].norm(dim=-1).clamp(min=1e-12)).tolist()
        return [None if place < at else value for place, value in enumerate(found)]

    def largest(kind: str) -> list[float | None]:
        draws = [likeness(kind, f"random {at} {seed}") for seed in seeds]
        return [
            None if None in held else max(abs(v) for v in held if v is not None) for held in zip(*draws, strict=True)
        ]

    return Effect(
        layer,
        at,
        {kind: likeness(kind, f"steer {at}") for kind in kinds},
        {kind: largest(kind) for kind in kinds},
        {kind: ratio(kind) for kind in kinds},
    )


def spread(pairs: Sequence[LoraPair], most: int) -> tuple[int, ...]:
    """At most so many of the layers that an adapter writes in, evenly over the depth."""
    layers = sorted({pair.layer for pair in pairs if pair.writes})
    if len(layers) <= most:
        return tuple(layers)
    return tuple(sorted({layers[round(i * (len(layers) - 1) / max(1, most - 1))] for i in range(most)}))
