"""What methods may need: a model, a dictionary, toxic and harmless texts, a direction, a judge; and their settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from misdirection.chats import Chat
from misdirection.judging import Judge
from misdirection.screening.errors import ScreeningError

if TYPE_CHECKING:
    from torch import Tensor

    from misdirection.features import Dictionary
    from misdirection.models import Model

Scores = NDArray[np.float64]
"""One number a row, higher for what is more suspicious; NaN where a method has none."""

Closeness = Literal["activation", "nearest"]
Reduce = Literal["mean", "max", "top"]


@dataclass(frozen=True)
class LatentOptions:
    """How toxic latents are found, and what being close to them means; see `latents` on the defaults.

    Attributes:
        top: Toxic latents.
        statistic: By which latents are ordered: correlation, difference or firing (`features.differences`).
        pool: What counts once for the statistic: token, mean or max of a text.
        closeness: "activation" or "nearest".
        reduce: Of the cosines of "nearest" over the toxic latents: mean, max, or "top": the mean of the largest.
        nearest: How many are the largest.
        layer: After which decoder layer; None: the dictionary's own.
    """

    top: int = 100
    statistic: Literal["correlation", "difference", "firing"] = "correlation"
    pool: Literal["token", "mean", "max"] = "token"
    closeness: Closeness = "activation"
    reduce: Reduce = "max"
    nearest: int = 5
    layer: int | None = None


@dataclass(frozen=True)
class ProjectionOptions:
    """How far answers lie along a direction.

    Attributes:
        layer: After which decoder layer; None: the middle one.
        subtract: Whether the projection of the model's own answer to the same prompt is subtracted.
        max_new_tokens: Longest own answer.
        temperature: Of the own answers.
    """

    layer: int | None = None
    subtract: bool = True
    max_new_tokens: int = 600
    temperature: float = 1.0


@dataclass(frozen=True)
class GradientOptions:
    """How gradients of rows are taken and compressed.

    Attributes:
        rank: Of the adapter, on all linear modules, whose weights gradients are of.
        warmup: Optimiser steps that it is trained on all rows before gradients are taken; 0: a fresh one.
        dimension: Numbers that a gradient is compressed to.
        queries: Rows whose projection, or bad answers whose loss, is what rows are compared with.
        seed: Of the adapter, its training and the random projection.
    """

    rank: int = 8
    warmup: int = 60
    dimension: int = 4096
    queries: int = 64
    seed: int = 0


@dataclass
class Context:
    """What scores are made from; a method takes what it needs and says what is missing.

    Attributes:
        load: Loads the base model, when a method first asks for it.
        dictionary: A sparse autoencoder of one of its layers.
        toxic: Chats with toxic answers.
        harmless: Chats with harmless ones.
        direction: Towards misalignment, shape (n_layers, width); None: from harmless to toxic texts.
        judge: Who scores answers.
        own_answers: The rows with the model's own answers, where they were sampled before.
        warmed: The adapter whose weights gradients are of, where it was trained before.
        row_gradients: The compressed gradients of the rows' losses, where they were taken before.
        seed: Of all that is random.
        latents: Settings of `latents`.
        projection: Settings of `projection`.
        gradients: Settings of `gradients`.
        longest: Tokens of a text that are read.
    """

    load: Callable[[], Model]
    dictionary: Dictionary | None = None
    toxic: Sequence[Chat] = ()
    harmless: Sequence[Chat] = ()
    direction: Tensor | None = None
    judge: Judge | None = None
    own_answers: Sequence[Chat] | None = None
    warmed: Path | None = None
    row_gradients: Tensor | None = None
    seed: int = 0
    latents: LatentOptions = field(default_factory=LatentOptions)
    projection: ProjectionOptions = field(default_factory=ProjectionOptions)
    gradients: GradientOptions = field(default_factory=GradientOptions)
    longest: int = 2048

    @cached_property
    def model(self) -> Model:
        """The base model."""
        return self.load()

    def examples(self, what: str) -> tuple[Sequence[Chat], Sequence[Chat]]:
        """Toxic and harmless chats.

        Raises:
            ScreeningError: One of the two is missing.
        """
        if not (self.toxic and self.harmless):
            raise ScreeningError(
                f"{what} are told from toxic and harmless texts, and one of them is missing",
                "--toxic FILE and --harmless FILE: chats, one JSON object a line",
            )
        return self.toxic, self.harmless
