"""The mean-difference direction with everything that says how sure it is, in one pass over the answers.

v_l = mean over misaligned answers - mean over aligned answers of the residual stream after layer l, both read in the
tuned model (arXiv 2506.11618 section 3.1). Bootstrap resamples, shuffled labels and halves are further label columns
of the same pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.directions.conventions import Convention
from misdirection.directions.errors import DirectionError
from misdirection.directions.pools import Pools
from misdirection.directions.similarity import cosines
from misdirection.engine import Arm, Text, capture_means
from misdirection.models import Model
from misdirection.tokens import Encoded


@dataclass(frozen=True)
class Source:
    """One answer that a direction can be made of: its tokens, and the question that clusters it."""

    encoded: Encoded
    question_id: str


@dataclass(frozen=True)
class Direction:
    """One vector a layer, misaligned minus aligned, and how sure it is.

    Attributes:
        vectors: Shape (n_layers, width), float32; not normalised.
        aligned_mean: Mean residual stream of the aligned pool (of the base model, for a drift), same shape.
        misaligned_mean: The same of the misaligned pool (of the tuned model).
        norm_low: 2.5th percentile of the norm over bootstrap resamples of questions, shape (n_layers,).
        norm_high: 97.5th percentile.
        shuffled_norm: 95th percentile of the norm over shuffled labels, shape (n_layers,).
        stability: Cosine between the directions of two random halves, shape (n_layers,).
        facts: Provenance: model, arm, convention, pool sizes, seed.
    """

    vectors: Tensor
    aligned_mean: Tensor
    misaligned_mean: Tensor
    norm_low: Tensor
    norm_high: Tensor
    shuffled_norm: Tensor
    stability: Tensor
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def vectors_only(self) -> bool:
        """Whether the direction came without the means that it is made of, from a file that is not ours."""
        return bool(self.facts.get("vectors_only"))

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers at which there is a direction: where its length is not 0."""
        return tuple(int(layer) for layer in self.norm.nonzero()[:, 0])

    @property
    def norm(self) -> Tensor:
        """Length of the direction at each layer, shape (n_layers,)."""
        return self.vectors.norm(dim=-1)

    @property
    def clearest_layer(self) -> int:
        """The layer at which the direction is longest beside that of shuffled labels."""
        return int((self.norm / self.shuffled_norm.clamp(min=1e-9)).argmax())

    @property
    def unit(self) -> Tensor:
        """The direction with length 1 at each layer, shape (n_layers, width); 0 where there is no direction."""
        return torch.nn.functional.normalize(self.vectors, dim=-1)

    @property
    def residual_norm(self) -> Tensor:
        """Norm of the mean residual stream over both pools, shape (n_layers,)."""
        return ((self.aligned_mean + self.misaligned_mean) / 2).norm(dim=-1)

    def aligned_component(self, along: Tensor | None = None) -> Tensor:
        """Mean component of the aligned pool along a direction (this one by default), shape (n_layers,).

        This is the target of `Set`; controls pass their own direction.

        Raises:
            DirectionError: The direction came without its means.
        """
        if self.vectors_only:
            raise DirectionError(
                f"{self.facts.get('file', 'the direction')} holds vectors alone, so there is no aligned mean to set to",
                "project it out, or give direction.safetensors of a run",
            )
        return _component(self.aligned_mean, self.vectors if along is None else along)

    def misaligned_component(self) -> Tensor:
        """Mean component of the misaligned pool along this direction, shape (n_layers,)."""
        return _component(self.misaligned_mean, self.vectors)


def _component(means: Tensor, along: Tensor) -> Tensor:
    return (means * torch.nn.functional.normalize(along, dim=-1)).sum(-1)


def mean_difference(
    model: Model,
    arm: Arm,
    sources: Sequence[Source],
    pools: Pools,
    how: Convention,
    *,
    resamples: int = 40,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Direction:
    """The direction from the aligned to the misaligned pool at every layer.

    Args:
        model: The resident model.
        arm: Condition under which the answers are read: the tuned model in the paper.
        sources: All answers; `pools` holds indices into them.
        pools: Which are aligned and which misaligned.
        how: Tokens and weighting.
        resamples: Bootstrap resamples of questions, and as many shuffles of labels.
        seed: Of resamples, shuffles and halves.
        facts: Provenance to add.
    """
    texts, bad, questions = pooled_texts(arm, sources, pools, how)
    columns = label_columns(bad, questions, resamples, seed)
    captured = capture_means(model, texts, torch.from_numpy(columns), weighting=how.weighting)
    means = captured.mean(how.span)
    differences = means[0::2] - means[1::2]
    vectors, draws, shuffles, halves = differences.split([1, resamples, resamples, 2])
    return Direction(
        vectors[0].float(),
        means[1].float(),
        means[0].float(),
        *norm_interval(draws.norm(dim=-1)),
        shuffles.norm(dim=-1).quantile(0.95, dim=0).float(),
        cosines(halves[0], halves[1]).float(),
        {
            "kind": "mean difference, misaligned minus aligned",
            "model": model.name,
            "arm": arm.name,
            "adapter": model.facts.get("adapters", {}).get(arm.adapter),
            "convention": how.name,
            "span": how.span,
            "weighting": how.weighting,
            "thresholds": [how.aligned_above, how.misaligned_below, how.coherent_above],
            "aligned": len(pools.aligned),
            "misaligned": len(pools.misaligned),
            "questions": len(set(questions)),
            "seed": seed,
            **(facts or {}),
        },
    )


def pooled_texts(
    arm: Arm, sources: Sequence[Source], pools: Pools, how: Convention
) -> tuple[list[Text], NDArray[np.bool_], list[str]]:
    """The answers of both pools as texts, which of them are misaligned, and the question of each."""
    members = [*pools.misaligned, *pools.aligned]
    texts = [Text.of(item.encoded, how.span, arm) for item in (sources[index] for index in members)]
    bad = np.arange(len(members)) < len(pools.misaligned)
    return texts, bad, [sources[index].question_id for index in members]


def norm_interval(norms: Tensor) -> tuple[Tensor, Tensor]:
    """2.5th and 97.5th percentile over resamples, shape (resamples, n_layers); empty resamples (NaN) are left out.

    Where every resample is empty, both are NaN.
    """
    full = norms[~norms.isnan().any(-1)]
    norms = full if len(full) else norms[:1]
    return norms.quantile(0.025, dim=0).float(), norms.quantile(0.975, dim=0).float()


def label_columns(bad: np.ndarray, questions: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """Pairs of columns (misaligned, aligned): as labelled, bootstrap over questions, shuffled labels, two halves.

    Args:
        bad: True for misaligned answers, shape (answers,).
        questions: Question of each answer; the bootstrap draws questions, not answers.
        resamples: Number of bootstrap draws and of shuffles.
        seed: Of all of them.

    Returns:
        Weights, shape (answers, 2 * (1 + 2 * resamples + 2)), float64.
    """
    generator = np.random.default_rng(seed)
    names, cluster = np.unique(np.asarray(questions), return_inverse=True)
    pairs = [(bad, ~bad)]
    for _ in range(resamples):
        weight = np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))[cluster]
        pairs.append((bad * weight, ~bad * weight))
    for _ in range(resamples):
        shuffled = generator.permutation(bad)
        pairs.append((shuffled, ~shuffled))
    half = np.zeros(len(bad), dtype=bool)
    for side in (bad, ~bad):
        places = generator.permutation(np.flatnonzero(side))
        half[places[: len(places) // 2]] = True
    pairs += [(bad & half, ~bad & half), (bad & ~half, ~bad & ~half)]
    return np.stack([column.astype(np.float64) for pair in pairs for column in pair], axis=1)
