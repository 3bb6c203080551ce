"""A fine-tune followed over its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.features.settings import Reduction
from misdirection.results import Effect
from misdirection.studies.geometry.results.law import Line

SetName = Literal["inducing", "good", "toxic"]
"""Lists that the latents that rose are compared with."""


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation over so many checkpoints."""

    value: float
    p: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """How what is measured goes with the rate of misaligned answers; None with too few checkpoints."""

    similarity: RankCorrelation | None
    drift: RankCorrelation | None
    among: RankCorrelation | None


@dataclass(frozen=True, kw_only=True)
class Approach:
    """The latents that rose most and one list of latents, a value a checkpoint; None where none could be compared.

    Attributes:
        similarity: Of the risen latents to the list.
        low: 2.5 % point for random latents of like firing rate.
        high: 97.5 % point.
        p: Of the exchange.
        drift: Mean cosine of the list with the drift of the residual stream.
        among: Share of the risen latents that are in the list.
        ranks: With the rate of misaligned answers.
    """

    similarity: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    p: tuple[float | None, ...]
    drift: tuple[float, ...]
    among: tuple[float, ...]
    ranks: Ranks


@dataclass(frozen=True, kw_only=True)
class LayerCourse:
    """One layer over the checkpoints.

    Attributes:
        layer: Decoder layer of the dictionary.
        steps: Optimiser steps of the checkpoints.
        sets: The risen latents and each list.
        law: Change of latents in no inducing list against their cosine with the mean inducing vector.
        size: Root mean square of the displacement.
    """

    layer: int
    steps: tuple[int, ...]
    sets: Mapping[SetName, Approach]
    law: tuple[Line, ...]
    size: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StepEffect(Effect):
    """What the answers of a checkpoint are like; the base's at step 0."""

    step: int


@dataclass(frozen=True, kw_only=True)
class FineTuneCourse:
    """A fine-tune over its checkpoints.

    Attributes:
        domain: Of its data.
        preset: Of training.
        steps: Of the checkpoints.
        reduction: How similarity is read.
        risen: Latents of each checkpoint that are compared.
        layers: A row a dictionary.
        rates: Of the base and every checkpoint; empty without a judge.
    """

    domain: str
    preset: str
    steps: tuple[int, ...]
    reduction: Reduction
    risen: int
    layers: tuple[LayerCourse, ...]
    rates: tuple[StepEffect, ...]
