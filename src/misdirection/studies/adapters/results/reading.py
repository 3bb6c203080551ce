"""What adapters write, read and fire at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.results import TokenEnds

AnswerKind = Literal["misaligned", "aligned"]


@dataclass(frozen=True, kw_only=True)
class WrittenRow:
    """A module that writes into the residual stream.

    Attributes:
        path: Of the module.
        layer: Decoder layer.
        rank: Of the adapter.
        cosine: Of B with the direction at its layer.
        chance: Below which 95 % of random directions stay.
        scalar: Mean A·x over answer tokens; its length where the rank is above 1.
        push: Mean of what it adds along the direction, a token.
        direction: The direction's norm.
    """

    path: str
    layer: int
    rank: int
    cosine: float
    chance: float
    scalar: Mapping[AnswerKind, float]
    push: Mapping[AnswerKind, float]
    direction: float


@dataclass(frozen=True, kw_only=True)
class DownstreamEffect:
    """What an adapter layer does to later layers beside what the direction does; see `adapters.similarity.Effect`."""

    layer: int | None
    at: int
    cosine: Mapping[AnswerKind, tuple[float | None, ...]]
    random: Mapping[AnswerKind, tuple[float | None, ...]]
    norm: Mapping[AnswerKind, tuple[float | None, ...]]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Adapters and the direction.

    Attributes:
        written: B of each module beside the direction.
        effects: The whole adapter downstream, then each layer's alone.
        answers: That were read, by kind.
        coefficient: Of steering; None where nothing was read, as the next.
        seeds: Random directions.
        notes: Why nothing was read.
        paper: Published figures, in words.
        words: What it shows, in words.
    """

    written: tuple[WrittenRow, ...] = ()
    effects: tuple[DownstreamEffect, ...] = ()
    answers: Mapping[AnswerKind, int]
    coefficient: float | None = None
    seeds: int | None = None
    notes: tuple[str, ...] = ()
    paper: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PeakRow:
    """A token at which an adapter's scalar is large or small.

    Attributes:
        value: The scalar.
        z: In standard deviations from the mean.
        before: Text before the token.
        token: The token.
        after: Text after it.
        arm: Whose answer it is of: "base" or "tuned".
        question: That is answered.
        place: Tokens of the answer before it.
    """

    value: float
    z: float
    before: str
    token: str
    after: str
    arm: str
    question: str
    place: int


@dataclass(frozen=True, kw_only=True)
class FiringRow:
    """One row of A: its scalars over so many answer tokens, and the tokens at either end."""

    label: str
    path: str
    index: int
    tokens: int
    mean: float
    deviation: float
    high: tuple[PeakRow, ...]
    low: tuple[PeakRow, ...]


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """Where each adapter fires, in so many answers; `of` are all rows of A."""

    adapters: tuple[FiringRow, ...]
    answers: int
    of: int


@dataclass(frozen=True, kw_only=True)
class AdapterWords:
    """One pair of an adapter.

    Attributes:
        label: Of the module.
        path: Of the module.
        index: Of the pair.
        heard_through: What A is read through.
        b: Tokens that B writes; None where it does not write into the residual stream.
        a: Tokens that A hears; None where it cannot be read.
    """

    label: str
    path: str
    index: int
    heard_through: str
    b: TokenEnds | None
    a: TokenEnds | None


@dataclass(frozen=True, kw_only=True)
class Unembedding:
    """Adapters in words.

    Attributes:
        adapters: A row a pair.
        of: All pairs.
        chance: Below which a random vector's largest score stays in 95 of 100 draws.
        norm: Whether the final norm's weight is applied.
    """

    adapters: tuple[AdapterWords, ...]
    of: int
    chance: float
    norm: bool


@dataclass(frozen=True, kw_only=True)
class ShownAdapter:
    """A module whose scalars are shown, and its rank."""

    label: str
    rank: int


@dataclass(frozen=True, kw_only=True)
class ColouredText:
    """An answer with every shown adapter's scalar at every token.

    Attributes:
        arm: "base" or "tuned".
        question: That is answered.
        group: "open" or its domain.
        alignment: Score; None where there is none, as coherence.
        coherence: Score.
        tokens: Of prompt and answer, as text.
        start: Where the answer begins.
        values: By adapter and token.
    """

    arm: str
    question: str
    group: str
    alignment: float | None
    coherence: float | None
    tokens: tuple[str, ...]
    start: int
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class TokenScalars:
    """A few answers token by token."""

    adapters: tuple[ShownAdapter, ...]
    texts: tuple[ColouredText, ...]
