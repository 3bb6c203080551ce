"""What came out of comparing the directions of several fine-tunes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.results import Effect, FineTunes, PairedChange, RateRow, Results

Removing = Literal["project", "set"]
"""The ways of removing that are compared."""

Operation = Literal["none", "project", "set"]
"""How a direction is removed; nothing is done in a no-op."""

How = Literal["single", "layer-wise", "one layer", "random", "no-op"]
"""What is removed: one layer's direction at every layer, each layer's own, one layer's there alone; the controls."""

Relation = Literal["same data, other preset", "same preset, other data", "other data and preset"]
"""How two different fine-tunes are related."""

By = Literal["data", "preset"]
"""By which fine-tunes are grouped."""

Whose = Relation | Literal["own", "all others"]
"""Whose direction is removed, beside the fine-tune that it is removed from."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Cosines of all pairs: mean, lowest and highest by layer."""

    mean: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where 95 % lie, by layer."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ShuffledCosines:
    """Cosines of directions of shuffled labels: shuffled among all answers, or among those to one question."""

    free: Band
    within: Band


@dataclass(frozen=True, kw_only=True)
class MatchedCosines(Spread):
    """With the same mix of questions in both pools: `questions` of each fine-tune have answers in both.

    `null` is that of labels shuffled within questions.
    """

    null: Band
    questions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class DirectionPair:
    """Directions of two fine-tunes by layer: cosine, and norm of the difference over the mean norm.

    A layer at which both are zero has no such difference.
    """

    one: str
    other: str
    relation: Relation
    cosine: tuple[float, ...]
    difference: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class DirectionNorms:
    """Norm of a fine-tune's direction by layer."""

    fine_tune: str
    norm: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CommonAxis:
    """Share of one axis in all directions, by layer, and its mean over shuffled labels; None without those.

    A layer at which all directions are zero has no such share.
    """

    first: tuple[float | None, ...]
    null: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class Angles:
    """Smallest and largest principal angle between two subspaces, in degrees, by layer."""

    smallest: tuple[float, ...]
    largest: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class GroupAngles(Angles):
    """Angles between two groups of so many directions; `null` is the 5th percentile over shuffled labels."""

    by: By
    one: str
    other: str
    dimensions: tuple[int, ...]
    null: Angles | None


@dataclass(frozen=True, kw_only=True)
class Similarity(Spread):
    """How similar the directions are, layer by layer.

    Attributes:
        width: Of the residual stream.
        high: Cosine that counts as high.
        above: Share of the pairs above it.
        directions: How long each is.
        pairs: Every two.
        relations: Mean cosine by relation.
        ceiling: Mean cosine that equal directions would be measured to have; None where it is not known.
        null: What shuffled labels show; None where there are no labels.
        matched: With questions matched; None where one has no question with answers of both kinds.
        shared: How much one axis holds.
        angles: Between groups.
    """

    width: int
    high: float
    above: tuple[float, ...]
    directions: tuple[DirectionNorms, ...]
    pairs: tuple[DirectionPair, ...]
    relations: Mapping[Relation, tuple[float, ...]]
    ceiling: tuple[float | None, ...] | None
    null: ShuffledCosines | None
    matched: MatchedCosines | None
    shared: CommonAxis
    angles: tuple[GroupAngles, ...]


@dataclass(frozen=True, kw_only=True)
class Convergence(Similarity):
    """Similarity as it is told: at the layer of the single direction above all, and beside published cosines."""

    layer: int
    paper: str


@dataclass(frozen=True, kw_only=True)
class RemovalEffect(Effect, PairedChange):
    """Answers before and after a direction is removed; rate and coherent share are those after."""

    before: RateRow


@dataclass(frozen=True, kw_only=True)
class RemovalRow(RemovalEffect):
    """One direction removed from one fine-tune.

    Attributes:
        source: Whose direction; "random" for a control, "" where nothing is removed.
        target: The fine-tune.
        how: What of it.
        operation: How it is removed; "none" for the no-op.
        label: As a reader is told it.
        control: Whether it is one.
        relation: Whose direction, beside the fine-tune.
        q: Benjamini-Hochberg over all removals of the study.
    """

    source: str
    target: str
    how: How
    operation: Operation
    label: str
    control: bool
    relation: Whose
    q: float


@dataclass(frozen=True, kw_only=True)
class PooledRemoval(RemovalEffect):
    """Removals of one kind, so many pairs of arms as one comparison.

    Attributes:
        least: Change of the rate in the arm where it falls least.
        most: Where it falls most.
    """

    how: How
    operation: Operation
    relation: Whose
    pairs: int
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Removals:
    """Every removal, and pooled."""

    rows: tuple[RemovalRow, ...]
    pooled: tuple[PooledRemoval, ...]


@dataclass(frozen=True, kw_only=True)
class Transfer(Removals):
    """Removals as they are told, with the layer of the single direction by operation, and published figures."""

    layers: Mapping[Removing, int]
    paper: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ConvergenceResults(Results):
    """The findings of the study of convergence.

    Attributes:
        convergence: How similar the directions are; None where fewer than two could be made.
        fine_tunes: Their rates; None where published directions are compared.
        transfer: What removing them does; None where there is no direction, or no model.
    """

    convergence: Convergence | None
    fine_tunes: FineTunes | None
    transfer: Transfer | None


RESULTS = ConvergenceResults
