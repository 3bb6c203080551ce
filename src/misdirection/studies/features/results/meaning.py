"""What latents mean: where they fire, what they promote, what they track, and what a model calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import TokenEnds


@dataclass(frozen=True, kw_only=True)
class ContextRow:
    """A window of a text in which a latent fires.

    Attributes:
        tokens: Its tokens as text.
        values: Activations.
        at: Place of the token that it stands around.
        source: Of the text.
        quantile: Share of the texts in which it fires that have a larger activation.
        top: Whether it is one of the strongest.
    """

    tokens: tuple[str, ...]
    values: tuple[float, ...]
    at: int
    source: str
    quantile: float | None
    top: bool


@dataclass(frozen=True, kw_only=True)
class FiringContexts:
    """Where a latent fires.

    Attributes:
        latent: Its number.
        firing_texts: Texts in which it fires.
        texts: That were read.
        contexts: The strongest, then weaker ones.
        top_sources: Sources of the strongest, by how many.
    """

    latent: int
    firing_texts: int
    texts: int
    contexts: tuple[ContextRow, ...]
    top_sources: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class SourceTexts:
    """Where texts are from, and how many."""

    name: str
    texts: int


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """How well a label tells where its latent fires; see `features.labels.Detection`."""

    accuracy: float
    low: float
    high: float
    found: int
    firing: int
    passed: int
    silent: int
    unread: int
    ranking: float | None


@dataclass(frozen=True, kw_only=True)
class TrueLabel:
    """What a latent tracks best, by ground truth; see `features.ground_truth.FactorLabel`.

    Attributes:
        factor: Name of the factor.
        value: Its value.
        share: Of the entropy of firing, 0 .. 1.
        precision: Share of the tokens at which it fires that have the value.
        recall: Share of the tokens of this value at which it fires.
        f1: Of both.
        information: Bits between firing and the value.
        tokens: At which it fires.
        above: Share of its peak above which it is said to fire.
    """

    factor: str
    value: str
    share: float
    precision: float
    recall: float
    f1: float
    information: float
    tokens: int
    above: float


@dataclass(frozen=True, kw_only=True)
class FactorShare:
    """What a factor tells of firing, in bits and as a share of its entropy."""

    bits: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Truth(TrueLabel):
    """The best label, what every factor tells, the best value of some, and how far the label alone tells texts."""

    factors: Mapping[str, FactorShare]
    each: Mapping[str, TrueLabel | None]
    detection: DetectionScore | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """A label by a model, with its score, that of another latent's label, and that of the true one.

    All are None without a labeller, or where it gave none.
    """

    label: str | None = None
    detection: DetectionScore | None = None
    control: DetectionScore | None = None
    truth_detection: DetectionScore | None = None


@dataclass(frozen=True, kw_only=True)
class MeantLatent(FiringContexts, TokenEnds, Named):
    """All of it for one latent; `truth` where the world is known."""

    truth: Truth | None


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What was looked at.

    Attributes:
        dictionary: Its name.
        layer: Decoder layer.
        sources: Of the texts.
        tokens: That were read.
        labeller: Who labelled; None for nobody.
        chance: Below which a random vector's largest score stays in 95 of 100 draws.
        clear: F1 from which on a label is called clear.
        factors: Of the ground truth; None without it.
        tracked: Latents with a clear label, by its factor; None without ground truth.
        latents: A row a latent.
    """

    dictionary: str
    layer: int
    sources: tuple[SourceTexts, ...]
    tokens: int
    labeller: str | None
    chance: float
    clear: float
    factors: tuple[str, ...] | None
    tracked: Mapping[str, int] | None
    latents: tuple[MeantLatent, ...]
