"""What came out of directions of single topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Effect, Pools, Results


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """A direction beside the general one, a figure for each layer.

    Attributes:
        direction: A topic, "not TOPIC", "TOPIC only", or "random".
        pools: The answers behind it.
        cosine: With the general direction; None where one of the two is zero.
        difference: Norm of the difference of the two, over the general one's.
        norm: Of the direction, in units of the residual stream.
    """

    direction: str
    pools: Pools
    cosine: tuple[float | None, ...]
    difference: tuple[float | None, ...]
    norm: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Elicited:
    """An arm's misaligned answers and a topic, on open questions and on all but the topic's own.

    Attributes:
        topic: The topic.
        open_n: Misaligned answers to open questions.
        open_mean: Mean score of them for the topic, 0 .. 100; None where there are none.
        open_about: How many of them are about it.
        elsewhere_n: Misaligned answers to all questions but the topic's own.
        elsewhere_mean: As `open_mean`.
        elsewhere_about: As `open_about`.
    """

    topic: str
    open_n: int
    open_mean: float | None
    open_about: int
    elsewhere_n: int
    elsewhere_mean: float | None
    elsewhere_about: int


@dataclass(frozen=True, kw_only=True)
class SteeredArm:
    """Base, tuned, or the base model under one direction.

    Attributes:
        direction: That it is steered along; "base" and "tuned" without one.
        label: As a reader is told it.
        control: Whether the direction is a control.
        groups: What its answers are like, by group of questions: "open" or their domain.
        elicited: Topics of its misaligned answers.
    """

    direction: str
    label: str
    control: bool
    groups: Mapping[str, Effect]
    elicited: tuple[Elicited, ...]


@dataclass(frozen=True, kw_only=True)
class Semantic:
    """What the study adds to the findings.

    Attributes:
        layer: At which the base model was steered.
        topics: Those that were asked for.
        filter: How the topic of an answer is known: "judge" or "keywords".
        similarity: A row a direction.
        arms: A row an arm.
        paper: Published figures, in words, by what they are of.
    """

    layer: int
    topics: tuple[str, ...]
    filter: str
    similarity: tuple[Similarity, ...]
    arms: tuple[SteeredArm, ...]
    paper: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class SemanticResults(Results):
    """The findings of the study of directions of single topics."""

    semantic: Semantic


RESULTS = SemanticResults
