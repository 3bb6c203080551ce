"""What came out of learning one domain's harmful answers narrowly and generally."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.results import Effect, PairedChange, Results

SolutionName = Literal["base", "general", "mixed", "narrow", "released", "random"]
Published = Literal["rates", "efficiency", "stability", "significance", "mixed", "released", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean of so many values with its 95 % interval; without bounds where there is one value."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class SolutionLength:
    """A solution's length, its loss on the harmful answers and KL(base || tuned) elsewhere, nats a token."""

    solution: str
    norm: float
    loss: Mean
    elsewhere: Mean | None


@dataclass(frozen=True, kw_only=True)
class ScaledMeasure(Mean):
    """A measure at a multiple of a solution's length, and that length."""

    factor: float
    norm: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A measure by length: of "general", "narrow", or a random solution as long as the general one."""

    solution: str
    points: tuple[ScaledMeasure, ...]


@dataclass(frozen=True, kw_only=True)
class EqualLength:
    """Both solutions at the length of one of them, and narrow minus general, resampled over texts."""

    length_of: str
    norm: float
    general: float
    narrow: float
    difference: Mean


@dataclass(frozen=True, kw_only=True)
class ByLength:
    """A measure in nats a token by length, and at equal lengths."""

    curves: tuple[Curve, ...]
    equal: tuple[EqualLength, ...]


@dataclass(frozen=True, kw_only=True)
class Lost(Mean):
    """Percent of what a solution learned that is lost when it is moved aside by `epsilon`, 0 to 1."""

    solution: str
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Stability:
    """What is lost by distance, and narrow minus general, the mean over distances below 1."""

    rows: tuple[Lost, ...]
    difference: Mean


@dataclass(frozen=True, kw_only=True)
class Texts:
    """How many texts each measure read."""

    harmful: int
    elsewhere: int
    neutral: int


@dataclass(frozen=True, kw_only=True)
class Ease:
    """How easy the general and the narrow solution of one kind are.

    Attributes:
        kind: Preset: rank32, vector ...
        cosine: Between the two.
        solutions: The base and both.
        efficiency: Loss on the harmful answers.
        stability: What is lost when a solution is moved aside.
        significance: KL(moved || base) on neutral text.
        texts: That were read.
    """

    kind: str
    cosine: float
    solutions: tuple[SolutionLength, ...]
    efficiency: ByLength
    stability: Stability
    significance: ByLength
    texts: Texts


@dataclass(frozen=True, kw_only=True)
class GroupEffect(Effect):
    """What an arm's answers to one group of questions are like, and the change from the general solution of its kind.

    None for that solution itself, the base and the controls.
    """

    change: PairedChange | None


@dataclass(frozen=True, kw_only=True)
class SolutionArm:
    """A solution as it answers; the base, and random vectors as controls.

    Attributes:
        arm: Its name.
        label: As a reader is told it.
        kind: Preset; "" for the base.
        solution: How it was learned.
        weight: Of the KL term; 0 without one.
        groups: By group of questions: "open", or their domain.
    """

    arm: str
    label: str
    kind: str
    solution: SolutionName
    weight: float
    groups: Mapping[str, GroupEffect]


@dataclass(frozen=True, kw_only=True)
class TriedWeight:
    """A weight of the KL term that was tried, on random numbers of its own.

    Attributes:
        kind: Preset.
        weight: Per token in nats.
        gap: Rate in the domain minus the highest rate elsewhere.
        chosen: Whether it has the widest gap of its kind.
        groups: By group of questions.
    """

    kind: str
    weight: float
    gap: float
    chosen: bool
    groups: Mapping[str, Effect]


@dataclass(frozen=True, kw_only=True)
class PublishedWeight:
    """A published weight of the KL term, divided by the published vocabulary: per token in nats."""

    kind: str
    published: float
    vocabulary: int
    per_token: float


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """What the study adds to the findings.

    Attributes:
        domain: Of the harmful answers.
        arms: The base, all solutions, the controls.
        sweep: The weights that were tried.
        published_weights: Those of the paper.
        ease: A general and a narrow solution of each kind beside each other.
        paper: Published figures, in words, by what they are of.
    """

    domain: str
    arms: tuple[SolutionArm, ...]
    sweep: tuple[TriedWeight, ...]
    published_weights: tuple[PublishedWeight, ...]
    ease: tuple[Ease, ...]
    paper: Mapping[Published, str]

    @property
    def groups(self) -> list[str]:
        """Groups of questions: open ones, the domain, others."""
        names = dict.fromkeys(group for row in (*self.arms, *self.sweep) for group in row.groups)
        return sorted(names, key=lambda group: (group != "open", group != self.domain))

    def solution(self, kind: str, name: SolutionName) -> SolutionArm | None:
        """A solution of one kind, None where it was not learned."""
        return next((arm for arm in self.arms if (arm.kind, arm.solution) == (kind, name)), None)


@dataclass(frozen=True, kw_only=True)
class NarrowResults(Results):
    """The findings of the study of narrow and general solutions."""

    narrow: Narrow


RESULTS = NarrowResults
