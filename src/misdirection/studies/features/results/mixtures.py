"""Mixtures of bad and good data: from which share of bad rows on latents and behaviour move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.results import Difference, Effect

Place = Literal["shared", "own"]
"""Where latents are read: texts that all models share, and each model's own answers."""


@dataclass(frozen=True, kw_only=True)
class TestedDifference(Difference):
    """A difference with q over all mixtures."""

    q: float | None = None


@dataclass(frozen=True, kw_only=True)
class MixtureEffect(Effect):
    """What a model's answers are like, and the change from what it is compared with; None for that itself."""

    change: TestedDifference | None = None


@dataclass(frozen=True, kw_only=True)
class MixtureModel:
    """The base model, or a fine-tune on a mixture.

    Attributes:
        model: Its name.
        percent: Bad rows, of 100; None for the base.
        bad: Bad rows; None for the base.
        open: Answers to open questions.
        domain: Answers to questions of the domain; None where none are asked.
    """

    model: str
    percent: float | None
    bad: int | None
    open: MixtureEffect
    domain: MixtureEffect | None = None


@dataclass(frozen=True, kw_only=True)
class MeanChange:
    """Mean of paired differences over questions.

    Attributes:
        value: The mean.
        low: Lower end of its interval.
        high: Upper end.
        separation: The mean in standard deviations; None where all are equal.
        n_questions: With a value in both models.
        p: By sign flips.
        q: Over latents and mixtures; None where it is not tested.
    """

    value: float
    low: float
    high: float
    separation: float | None
    n_questions: int
    p: float
    q: float | None = None


@dataclass(frozen=True, kw_only=True)
class Activation:
    """Mean activation of a latent in a model, and its changes from the base and from what it is compared with."""

    model: str
    value: float | None
    from_base: MeanChange | None = None
    change: MeanChange | None = None


@dataclass(frozen=True, kw_only=True)
class WatchedLatent:
    """A latent on shared texts and on own answers, a row a model."""

    latent: int
    shared: tuple[Activation, ...]
    own: tuple[Activation, ...]


@dataclass(frozen=True, kw_only=True)
class LatentOnset:
    """The share of bad rows from which on a latent has moved, by where it is read; None where it never has."""

    latent: int
    shared: float | None
    own: float | None


@dataclass(frozen=True, kw_only=True)
class Onsets:
    """The share of bad rows from which on behaviour and latents have moved; None where they never have."""

    open: float | None
    latents: tuple[LatentOnset, ...]
    domain: float | None = None


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The models beside the one that they are compared with, the latents, and when they move."""

    reference: str
    models: tuple[MixtureModel, ...]
    latents: tuple[WatchedLatent, ...]
    onsets: Onsets


@dataclass(frozen=True, kw_only=True)
class Mixtures(Effects):
    """What was mixed.

    Attributes:
        domain: Of the data.
        rows: Of each mixture.
        paired: How bad and good answers are.
        preset: Of training.
        layer: Decoder layer of the dictionary.
        shared_texts: What all models read: "prompt" or "answer".
        notes: Sentences on the data.
        paper: Published figures, in words.
    """

    domain: str
    rows: int
    paired: str
    preset: str
    layer: int
    shared_texts: Literal["prompt", "answer"]
    notes: tuple[str, ...]
    paper: str
