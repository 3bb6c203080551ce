"""Adapters scaled by role, left out, edited, and patched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.adapters.roles import Role
from misdirection.results import Difference, Effect, RateRow, Reduction
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.results.arms import LabelledArm, ScaledArm

Matrix = tuple[tuple[float | None, ...], ...]
"""Layer by layer; None where there is no arm."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The paper's arms at several doses.

    Attributes:
        topic: The domain of the fine-tune.
        roles: By layer.
        arms: A row an arm.
        factors: (layer, factor) of each arm by role.
        notes: What could not be done.
        plan: How much was done.
        paper: Published figures, in words.
        words: What it shows, in words.
    """

    topic: str
    roles: Mapping[str, Role]
    arms: tuple[ScaledArm, ...]
    factors: Mapping[str, tuple[tuple[float, ...], ...]]
    notes: tuple[str, ...]
    plan: InterventionPlan
    paper: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LeaveOut:
    """Layers left out.

    Attributes:
        layers: That have adapters.
        untouched: Rate of the adapter as it is.
        base: Rate of the base model.
        arms: Each left out, and each alone.
        pairs: Every two left out.
        changes: Of the rate, one left out on the diagonal.
        coherent: Shares of coherent answers alike.
        interactions: What a pair does beyond the sum of its two.
    """

    layers: tuple[int, ...]
    untouched: RateRow
    base: RateRow
    arms: tuple[LabelledArm, ...]
    pairs: tuple[LabelledArm, ...]
    changes: Matrix
    coherent: Matrix
    interactions: Matrix


@dataclass(frozen=True, kw_only=True)
class Editing:
    """The direction taken out of B.

    Attributes:
        arms: The edited adapters and the ablations beside them.
        along: Share of B's squared norm along the direction, by layer.
        notes: Why there are none.
        paper: Published figures, in words.
        words: What it shows, in words.
    """

    arms: tuple[LabelledArm, ...]
    along: Mapping[str, float]
    notes: tuple[str, ...]
    paper: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PromptPair:
    """Two prompts of so many tokens: scalars of the donor are replayed on the recipient."""

    donor: str
    recipient: str
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The same recipients clean and patched, and the paired change."""

    clean: Effect
    patched: Effect
    difference: Difference
    reduction: Reduction | None


@dataclass(frozen=True, kw_only=True)
class PatchedGroup:
    """Pairs of prompts of one kind.

    Attributes:
        group: Its name.
        label: Whose scalars are replayed, in words.
        control: Whether nothing must change.
        questions: Of the recipients: "open" or their domain.
        pairs: The prompts.
        identical: Share of answers that are the same word for word.
        whole: Whole answers.
        cut: Answers cut to the recorded one's length, as in the paper.
    """

    group: str
    label: str
    control: bool
    questions: str
    pairs: tuple[PromptPair, ...]
    identical: float
    whole: Versions
    cut: Versions


@dataclass(frozen=True, kw_only=True)
class Patching:
    """Scalars replayed, a row a group; what could not be done, published figures and what it shows, in words."""

    groups: tuple[PatchedGroup, ...]
    notes: tuple[str, ...]
    paper: str
    words: tuple[str, ...]
