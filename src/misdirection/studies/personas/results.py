"""What came out of traits of character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Results
from misdirection.results.rows import Interval


@dataclass(frozen=True, kw_only=True)
class TraitRow:
    """A trait and its vector.

    Attributes:
        trait: Its name.
        description: What it is.
        pairs: Pairs of answers behind the vector.
        tried: Pairs that there were.
        fell_away: Why the others fell away, by how many.
        layer: The decoder layer that is steered and read.
        chosen_by: "steering" (it shows most there), "separation" (no multiple turned the trait up; the layer is the one
            whose last prompt token tells prompts for it from prompts against it best), or "given".
        coefficient: The multiple under which it shows most at that layer.
        norm: Of the vector by layer, in units of the residual stream.
        shuffled_norm: 95th percentile of the norm of vectors of shuffled labels.
        stability: Cosine between the vectors of two halves of the answers; None where it is not known.
        separation: By layer, area under the curve of prompts for it against prompts against it.
        cosines: With the vectors of all traits, by name, at this trait's layer.
    """

    trait: str
    description: str
    pairs: int
    tried: int
    fell_away: Mapping[str, int]
    layer: int
    chosen_by: str
    coefficient: float
    norm: tuple[float, ...]
    shuffled_norm: tuple[float, ...]
    stability: tuple[float | None, ...]
    separation: tuple[float, ...]
    cosines: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class DoseRow:
    """Answers under a multiple of a trait's vector.

    Attributes:
        trait: Whose vector.
        layer: Where it is added.
        coefficient: The multiple.
        under: "no system prompt", or "asked for it".
        control: Whether a random direction of the same length is added instead.
        sweep: Whether it belongs to the choice of the layer, whose random numbers are others.
        score: Mean score of the trait, 0 .. 100, over answers.
        coherent: Share of coherent answers.
    """

    trait: str
    layer: int
    coefficient: float
    under: str
    control: bool
    sweep: bool
    score: Interval
    coherent: float


@dataclass(frozen=True, kw_only=True)
class WatchedRow:
    """Mean projection and score of one prompt, over questions.

    Attributes:
        trait: Whose vector and score.
        kind: "system" or "many-shot".
        prompt: What was put before the questions.
        projection: Of the last prompt token, in units of the residual stream.
        score: Mean score of the trait in what followed, 0 .. 100; None where there is none.
    """

    trait: str
    kind: str
    prompt: str
    projection: float
    score: float | None


@dataclass(frozen=True, kw_only=True)
class CorrelationRow:
    """How well the last prompt token tells what will follow.

    Attributes:
        trait: Whose vector and score.
        kinds: Prompts that count: "all", "system" or "many-shot".
        how: "overall", "between" prompts (their means) or "within" (what is left of each point without them).
        r: Pearson's correlation.
    """

    trait: str
    kinds: str
    how: str
    r: Interval


@dataclass(frozen=True, kw_only=True)
class TunedRow:
    """A fine-tune and a trait.

    Attributes:
        fine_tune: Its name; "base" for the base model.
        trait: Whose vector and score.
        score: Mean score of the trait in its answers, 0 .. 100; without a value where nobody scored them.
        change: Of that score from the base's, over questions; None for the base, and where nobody scored.
        shift: Mean shift of the last prompt token along the trait's vector; None for the base.
    """

    fine_tune: str
    trait: str
    score: Interval
    change: Interval | None
    shift: Interval | None


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """Over all fine-tunes: the shift along one trait against the change in showing another.

    Attributes:
        vector: The trait whose vector the shift is along.
        shown: The trait whose score changes.
        fine_tunes: How many points it is of.
        r: Pearson's correlation; None where one of the two does not vary.
        p: Two-sided, under all orders of the fine-tunes.
    """

    vector: str
    shown: str
    fine_tunes: int
    r: float | None
    p: float | None


@dataclass(frozen=True, kw_only=True)
class Personas:
    """What the study adds to the findings.

    Attributes:
        traits: A row a trait that has a vector.
        doses: A row a multiple.
        watched: A row a trait and prompt.
        correlations: A row a trait, kind of prompts, and way of correlating.
        tuned: A row a fine-tune and trait; empty without fine-tunes.
        matrix: A row a pair of traits; empty with fewer than three fine-tunes.
        coherent_share: What a multiple must keep.
        paper: Published figures, in words, by what they are of.
        judged: Whether somebody scored the traits; without, there are no doses, scores and correlations.
    """

    traits: tuple[TraitRow, ...]
    doses: tuple[DoseRow, ...]
    watched: tuple[WatchedRow, ...]
    correlations: tuple[CorrelationRow, ...]
    tuned: tuple[TunedRow, ...]
    matrix: tuple[MatrixRow, ...]
    coherent_share: float
    paper: Mapping[str, str]
    judged: bool = True


@dataclass(frozen=True, kw_only=True)
class PersonasResults(Results):
    """The findings of the study of traits of character."""

    personas: Personas


RESULTS = PersonasResults
