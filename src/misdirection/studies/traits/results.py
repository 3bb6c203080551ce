"""What came out of the map of traits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Results
from misdirection.results.rows import Interval


@dataclass(frozen=True, kw_only=True)
class PlaceRow:
    """A trait on the map.

    Attributes:
        trait: Its name; "assistant axis" for the axis.
        family: What it belongs to by its file.
        cluster: Its group by the vectors, from 0.
        x: Place on the map of two dimensions.
        y: The other one.
        norm: Of its direction, in units of the residual stream.
        stability: Cosine between the directions of two halves of the questions.
        axis: Cosine with the assistant axis.
        nearest: The traits most like it, nearest first.
        cosines: With every trait, in the order of `TraitMap.names`.
    """

    trait: str
    family: str
    cluster: int
    x: float
    y: float
    norm: float
    stability: float
    axis: float
    nearest: tuple[str, ...]
    cosines: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """In how many dimensions the traits lie, and how sure that is.

    Attributes:
        share: Of the variance between traits, by principal component.
        reliable: The part of it that the other half of the questions shows too.
        participation: Participation ratio of `share`.
        reliable_participation: Of `reliable`.
        stress: Of maps in 1, 2, 3 ... dimensions: what they get wrong of the distances.
        likeness: Correlation of the cosines of one half of the questions with those of the other.
        map_error: What is left between the maps of both halves after the best turn, 0 the same and 1 unrelated.
        silhouette: How well the groups stand apart, -1 .. 1.
        axis_on_first: Cosine, without its sign, of the first principal component with the assistant axis.
    """

    share: tuple[float, ...]
    reliable: tuple[float, ...]
    participation: float
    reliable_participation: float
    stress: tuple[float, ...]
    likeness: float
    map_error: float
    silhouette: float
    axis_on_first: float


@dataclass(frozen=True, kw_only=True)
class MoveRow:
    """How far a fine-tune moves the last prompt token along a trait, in units of the residual stream."""

    fine_tune: str
    trait: str
    shift: Interval


@dataclass(frozen=True, kw_only=True)
class RankRow:
    """Whether the nearest neighbours of a trained trait move most.

    Attributes:
        fine_tune: Its name.
        trained: The trait that it was trained on.
        rho: Rank correlation, over all other traits, of likeness to the trained one and shift; None where it is none.
        p: Two-sided, under orders of the shifts.
        traits: How many others there are.
        place: Where the trained trait stands among all by its shift, from 1.
        most: The traits that moved most, first one first.
    """

    fine_tune: str
    trained: str
    rho: float | None
    p: float | None
    traits: int
    place: int
    most: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InducedRow:
    """Answers of the base model with the component of a trait set.

    Attributes:
        trait: Its name.
        alpha: Multiple of the mean component in the trait's own answers; None for the model as it is.
        score: Mean score of the trait, 0 .. 100.
        coherent: Share of coherent answers.
    """

    trait: str
    alpha: float | None
    score: Interval
    coherent: float


@dataclass(frozen=True, kw_only=True)
class TraitMap:
    """What the study adds to the findings.

    Attributes:
        layer: Of the map.
        answers: How many were read.
        names: The traits, in the order of the columns of `PlaceRow.cosines`: like beside like.
        places: A row a trait, in that order.
        dimensions: Of the space.
        moved: A row a fine-tune and trait.
        ranks: A row a fine-tune whose trained trait is known.
        induced: A row a trait and multiple.
        paper: Published figures, in words, by what they are of.
    """

    layer: int
    answers: int
    names: tuple[str, ...]
    places: tuple[PlaceRow, ...]
    dimensions: Dimensions
    moved: tuple[MoveRow, ...]
    ranks: tuple[RankRow, ...]
    induced: tuple[InducedRow, ...]
    paper: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TraitsResults(Results):
    """The findings of the study of the map of traits."""

    traits: TraitMap


RESULTS = TraitsResults
