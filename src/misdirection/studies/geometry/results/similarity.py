"""How near inducing latents lie to toxic ones, and what the lists of latents share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.features.settings import Reduction
from misdirection.results import ListOverlap

Target = Literal["toxic", "beside", "harmless"]
"""What latents are near to: toxic latents, the same with the toxic direction taken out, harmless ones. Latents listed
by two differences that point alike share that direction by the way they were chosen; "beside" asks whether they are
nearer in anything else."""
Control = Literal["good", "random"]
"""What inducing latents are compared with: those that good data raises, and random ones of like firing rate."""


@dataclass(frozen=True, kw_only=True)
class Exchanged:
    """Mean nearness of two sets of latents, and what exchanging their members gives (`features.geometry.Exchange`).

    Attributes:
        first: Of the inducing latents that have a counterpart of like firing rate.
        second: Of the control's.
        difference: First minus second.
        low: 2.5 % point of the difference under exchange.
        high: 97.5 % point.
        p: Two-sided.
        n_first: Inducing latents that count.
        n_second: The control's.
        unmatched: Inducing latents without a counterpart, left out.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n_first: int
    n_second: int
    unmatched: int


@dataclass(frozen=True, kw_only=True)
class SetSimilarity:
    """Inducing latents against a control, at one layer.

    Attributes:
        layer: Decoder layer of the dictionary.
        domain: Of the data.
        target: What they are near to.
        control: What they are compared with.
        reduction: How the similarity of two sets is read.
        shared_inducing: Inducing latents that are targets themselves.
        shared_control: The control's.
        test: What was found; None where nothing was left to exchange.
        q: After Benjamini and Hochberg over layers, domains and controls of one target and reduction.
    """

    layer: int
    domain: str
    target: Target
    control: Control
    reduction: Reduction
    shared_inducing: int
    shared_control: int
    test: Exchanged | None
    q: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How many latents of a domain's lists are toxic ones.

    Attributes:
        layer: Decoder layer of the dictionary.
        domain: Of the data.
        alive: Latents that fire at all.
        top: Latents in a list.
        significant: Latents that differ between bad and good answers, q < 0.05.
        texts: Bad and good answers that were read.
        inducing: The list of bad data, and the toxic one.
        good: The list of good data, and the toxic one.
    """

    layer: int
    domain: str
    alive: int
    top: int
    significant: int
    texts: tuple[int, ...]
    inducing: ListOverlap
    good: ListOverlap


@dataclass(frozen=True, kw_only=True)
class Lists:
    """One layer: every comparison, and what its lists share."""

    rows: tuple[SetSimilarity, ...]
    lists: tuple[Sharing, ...]
