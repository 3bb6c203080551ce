"""The spillover law: what raising one latent does to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.results import Interval

Kind = Literal["steer", "tune", "latent", "data", "contrast"]
"""Updates, from what the derivation supposes to what fine-tuning does."""
Group = Literal["all", "inducing", "control"]
"""Of the latents that are raised."""
Reading = Literal["steady cosine", "steady encoder", "mean cosine", "mean encoder", "mean predicted"]
"""A line of the others' changes, "<change> <against>" (`features.spillover.Spill.fits`)."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line through so many points; None where there is none."""

    slope: float | None
    intercept: float | None
    r2: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Raised:
    """One update meant for one latent (`features.spillover.Spill`); changes are divided by the size of the update.

    Attributes:
        group: Whether the latent is an inducing one or a control.
        kind: The update.
        latent: The one that it was meant for.
        own: Its own change of mean activation.
        along: Mean displacement along its decoder vector, over the size.
        share: Cosine of the mean displacement with that vector.
        turn: -1 where the update was turned round, else 1.
        size: Root mean square of the displacement.
        gap: Largest difference between the change where a latent fires and the encoder's product.
        others: Latents that were looked at.
        fits: Lines of the others' changes.
    """

    group: Group
    kind: Kind
    latent: int
    own: float
    along: float
    share: float
    turn: int
    size: float
    gap: float
    others: int
    fits: Mapping[Reading, Line]


@dataclass(frozen=True, kw_only=True)
class LineMeans:
    """Lines, on average over the latents that were raised."""

    slope: Interval
    intercept: Interval
    r2: Interval


@dataclass(frozen=True, kw_only=True)
class KindSummary:
    """One kind of update over the latents that were raised; see `Raised` for what is averaged.

    Attributes:
        n: Latents that were raised.
        others: Fewest latents that were looked at.
        fits: Lines of the others' changes.
        gap: The largest.
        own: Change of the raised latent.
        along: Mean displacement along its vector.
        share: Cosine of the mean displacement with it.
        turned: Updates that were turned round.
    """

    n: int
    others: int
    fits: Mapping[Reading, LineMeans]
    gap: float
    own: Interval
    along: Interval
    share: Interval
    turned: int


@dataclass(frozen=True, kw_only=True)
class Points:
    """Other latents, a place each; every k-th of them.

    Attributes:
        cosine: With the raised latent's decoder vector.
        encoder: Product of their encoder with it.
        mean: Change of their mean activation.
        steady: Change where they fire before and after; None where they never do.
        latent: The raised one.
        other: The other.
    """

    cosine: tuple[float, ...]
    encoder: tuple[float, ...]
    mean: tuple[float, ...]
    steady: tuple[float | None, ...]
    latent: tuple[int, ...]
    other: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Update:
    """One kind of update: its name in words, what it did by group of latents, and points to draw."""

    kind: Kind
    label: str
    groups: Mapping[Group, KindSummary]
    points: Points


@dataclass(frozen=True, kw_only=True)
class Law:
    """The spillover law at one layer.

    Attributes:
        layer: Decoder layer of the dictionary.
        weights: That took the gradient steps: "full" or "lora".
        chats: Of a gradient step.
        kinds: Kinds of updates.
        spills: Every update.
        failed: Updates that could not be made, a sentence each.
    """

    layer: int
    weights: str
    chats: int
    kinds: tuple[Update, ...]
    spills: tuple[Raised, ...]
    failed: tuple[str, ...]
