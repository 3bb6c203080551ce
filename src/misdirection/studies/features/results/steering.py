"""Latents steered: up in the base model, down in a fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.results import Difference, Effect, RateRow, Reduction

Side = Literal["up", "down"]
"""Added to the base model, or taken from a fine-tune."""


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A strength of the sweep: shares of misaligned and coherent answers, and whether enough are coherent."""

    strength: float
    rate: float
    coherent: float
    allowed: bool


@dataclass(frozen=True, kw_only=True)
class KeptStrength(Effect):
    """The strength that was kept, measured on fresh random numbers.

    Attributes:
        strength: Multiple of the median norm.
        before: Misaligned answers of the unsteered model.
        difference: From it.
        reduction: Relative to it; None where there was nothing to reduce.
        coherent: Whether as many answers are coherent as asked.
        q: Of the difference, over all latents and both sides.
        passes: Whether the rate moves the right way, and the answers are coherent.
    """

    strength: float
    before: RateRow
    difference: Difference
    reduction: Reduction | None
    coherent: bool
    q: float | None = None
    passes: bool = False


@dataclass(frozen=True, kw_only=True)
class SteeredSide:
    """One side of a latent: every strength, and the one that was kept; None where none keeps answers coherent."""

    sweep: tuple[SweepPoint, ...]
    measured: KeptStrength | None

    @property
    def passes(self) -> bool:
        """Whether the strength that was kept passes."""
        return self.measured is not None and self.measured.passes


@dataclass(frozen=True, kw_only=True)
class SteeredLatent:
    """A latent.

    Attributes:
        latent: Its number.
        lists: Lists at whose top it stands; empty for a control.
        ranks: Its place in every list that holds it at all, from 1.
        control: Whether it is a random latent of no list.
        up: Added to the base model.
        down: Taken from a fine-tune.
        both: Whether both sides pass.
    """

    latent: int
    lists: tuple[str, ...]
    ranks: Mapping[str, int]
    control: bool
    up: SteeredSide
    down: SteeredSide
    both: bool = False

    def side(self, name: Side) -> SteeredSide:
        """One of the two."""
        return self.up if name == "up" else self.down


@dataclass(frozen=True, kw_only=True)
class ListSummary:
    """How many latents of a list pass, and their mean changes; the controls are the list "random"."""

    list: str
    steered: int
    both: int
    up: int
    down: int
    mean_up: float | None
    mean_down: float | None


@dataclass(frozen=True, kw_only=True)
class HeldLatents(Effect):
    """A fine-tune with latents of one list held at 0, all at once.

    Attributes:
        list: Its name; "random" for the controls.
        latents: Their numbers.
        control: Whether they are random latents of no list.
        difference: From the fine-tune as it is, paired.
        reduction: Relative to it; None where there was nothing to reduce.
        q: Of the difference, over all lists.
    """

    list: str
    latents: tuple[int, ...]
    control: bool
    difference: Difference
    reduction: Reduction | None
    q: float


@dataclass(frozen=True, kw_only=True)
class Steering:
    """What was steered.

    Attributes:
        layer: Decoder layer.
        norm: Median norm of the residual stream there: strength 1.
        target: The fine-tune that is steered down.
        incoherent_at_most: Share of incoherent answers that is allowed.
        strengths: Of the sweep.
        samples: Answers a question, in the sweep and of what is measured.
        unsteered: Base model (up) and fine-tune (down) as they are.
        rows: A row a latent.
        summary: A row a list.
        wanted_controls: Random latents that were asked for.
        paper: Published figures, in words.
        held: The fine-tune with a list's latents held at 0, a row a list.
    """

    layer: int
    norm: float
    target: str
    incoherent_at_most: float
    strengths: tuple[float, ...]
    samples: Mapping[Literal["sweep", "measured"], int]
    unsteered: Mapping[Side, Effect]
    rows: tuple[SteeredLatent, ...]
    summary: tuple[ListSummary, ...]
    wanted_controls: int
    paper: str
    held: tuple[HeldLatents, ...] = ()
