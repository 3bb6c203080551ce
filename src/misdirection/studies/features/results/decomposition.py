"""Directions and adapters as a few latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Method = Literal["omp", "nnls"]
"""Orthogonal matching pursuit, and the non-negative one."""
VectorKind = Literal["mean difference", "B", "A", "file"]
"""A fine-tune's direction, what an adapter writes or reads, a direction from a file."""


@dataclass(frozen=True, kw_only=True)
class ListAgreement:
    """How far a decomposition and the one through activations name the same latents.

    Attributes:
        overlap: Share of its latents among as many of the largest parts.
        chance: What random latents would share.
        signs: Share of its latents whose part has the same sign.
    """

    overlap: float
    chance: float
    signs: float


@dataclass(frozen=True, kw_only=True)
class Decomposed:
    """A vector as latents, one more at a time.

    Attributes:
        latents: In the order in which they were taken.
        coefficients: Of all together.
        explained: Share of the variance explained by so many.
        agreement: With activations; None for what no answers lie behind.
    """

    latents: tuple[int, ...]
    coefficients: tuple[float, ...]
    explained: tuple[float, ...]
    agreement: ListAgreement | None = None


@dataclass(frozen=True, kw_only=True)
class ThroughActivations:
    """A direction as the change of every latent's mean activation times its decoder vector.

    Attributes:
        cosine: Of that with the direction.
        explained: Share of the direction.
        latents: Those with the largest parts.
        parts: Their signed lengths.
    """

    cosine: float
    explained: float
    latents: tuple[int, ...]
    parts: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DecomposedVector:
    """A vector of the residual stream.

    Attributes:
        name: In tables.
        kind: What it is.
        layer: After which it stands.
        tune: The fine-tune that it belongs to; empty for none.
        rank: Of the adapter whose leading pair it is of.
        norm: Its length.
        methods: As latents, by each method.
        through: Through activations; None for what is no fine-tune's direction.
    """

    name: str
    kind: VectorKind
    layer: int
    tune: str
    rank: int
    norm: float
    methods: Mapping[Method, Decomposed]
    through: ThroughActivations | None = None


@dataclass(frozen=True, kw_only=True)
class RandomCurves:
    """Variance of `n` random vectors explained by so many latents: mean, lowest, highest."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """What was decomposed.

    Attributes:
        layer: Decoder layer of the dictionary.
        most: Latents at most.
        latents: Of the dictionary.
        rows: A row a vector.
        random: Random vectors, by method.
        notes: What was left out, a sentence each.
    """

    layer: int
    most: int
    latents: int
    rows: tuple[DecomposedVector, ...]
    random: Mapping[Method, RandomCurves]
    notes: tuple[str, ...]
