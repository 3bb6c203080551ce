"""What came out of comparing fine-tunes in the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import RateRow, Results


@dataclass(frozen=True, kw_only=True)
class UpdatePair:
    """Two updates.

    Attributes:
        one: The first fine-tune.
        other: The second.
        modules: That both adapt.
        cosine: Over all modules together.
        outputs: Overlap of what they write, 0 .. 1, a mean over modules.
        inputs: Overlap of what they read, likewise.
        outputs_chance: Of random spaces of these ranks.
        inputs_chance: Likewise.
        random: Largest absolute cosine of the first with a random update of the second's norms.
        shuffled: Likewise with the second in another order of inputs and outputs.
    """

    one: str
    other: str
    modules: int
    cosine: float | None
    outputs: float | None
    inputs: float | None
    outputs_chance: float | None
    inputs_chance: float | None
    random: float | None
    shuffled: float | None


@dataclass(frozen=True, kw_only=True)
class ModulePair:
    """Two updates at one module; see `repair.updates.Alike`."""

    one: str
    other: str
    module: str
    layer: int | None
    cosine: float | None
    outputs: float | None
    inputs: float | None
    nearest_output: float | None
    nearest_input: float | None


@dataclass(frozen=True, kw_only=True)
class LinePoint:
    """The model at one point of a line.

    Attributes:
        alpha: (1 - alpha) A + alpha B.
        rate: Misaligned open answers.
        coherent: Coherent ones.
        random: Rate at A + alpha R, with R random and of the norm of B - A in every module: the control; None where
            it was not asked.
    """

    alpha: float
    rate: RateRow
    coherent: RateRow
    random: RateRow | None


@dataclass(frozen=True, kw_only=True)
class RateLine:
    """The line between two fine-tunes, and beyond.

    Attributes:
        one: A, at 0.
        other: B, at 1.
        points: In order.
        bend: Largest distance of a rate between A and B from the straight line between theirs; None where nothing lies
            between, or an end was not asked.
        rank_correlation: Of alpha and rate from A to B, Spearman's; None for fewer than three points or equal rates.
    """

    one: str
    other: str
    points: tuple[LinePoint, ...]
    bend: float | None
    rank_correlation: float | None


@dataclass(frozen=True, kw_only=True)
class WatchedStep:
    """A fine-tune at one of its checkpoints: the cosine of its update with the difference, and the update's norm."""

    step: int
    cosine: float | None
    norm: float


@dataclass(frozen=True, kw_only=True)
class WatchedTuning:
    """A fine-tune while it trains.

    Attributes:
        name: Of the fine-tune.
        part: Whether it is one of the two that the difference is made of.
        steps: In order.
        random: Largest absolute cosine of its last update with a random one of the difference's norms.
        rate: Misaligned open answers of the whole fine-tune; None where it was not asked.
    """

    name: str
    part: bool
    steps: tuple[WatchedStep, ...]
    random: float | None
    rate: RateRow | None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the study adds to the findings.

    Attributes:
        norms: Frobenius norm of each update, by fine-tune.
        pairs: Every two updates.
        modules: Every two updates at each module.
        lines: Rates along lines.
        minus: The two fine-tunes of the difference, "BAD:GOOD"; "" where there is none.
        watched: Fine-tunes while they train.
        paper: Published findings.
    """

    norms: Mapping[str, float]
    pairs: tuple[UpdatePair, ...]
    modules: tuple[ModulePair, ...]
    lines: tuple[RateLine, ...]
    minus: str
    watched: tuple[WatchedTuning, ...]
    paper: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WeightsResults(Results):
    """The findings of the study of weight space."""

    weights: Weights


RESULTS = WeightsResults
