"""What came out of screening training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Reduction, Results
from misdirection.results.seeds import Groups
from misdirection.screening.choosing import DropAgreement


@dataclass(frozen=True, kw_only=True)
class DropChoice:
    """How many rows one method drops, for one draw.

    Attributes:
        method: Its name.
        rows: Rows in all.
        dropped: Those that are dropped.
        kept: Those that are kept.
        unscored: Those without a score.
        agreement: With what is known of the rows; None where nothing is.
    """

    method: str
    rows: int
    dropped: int
    kept: int
    unscored: int
    agreement: DropAgreement | None


@dataclass(frozen=True, kw_only=True)
class TrainedArm(Groups):
    """Fine-tunes on what one method keeps.

    Attributes:
        name: Of the method; "unfiltered" for all rows.
        does: The method in words.
        reduction: Of misaligned open answers, against training on all rows; None for these, and where there was
            nothing to reduce.
        choices: One a draw; none for all rows.
    """

    name: str
    does: str
    reduction: Reduction | None = None
    choices: tuple[DropChoice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """Processor time of one method's scores, in seconds, without the loading of the model.

    Attributes:
        method: Its name.
        own: For the scores themselves.
        shared: For what they are made of that other scores may share: the model's own answers, or the gradients of
            the rows and the adapter that these are of; in full.
    """

    method: str
    own: float
    shared: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """What one method drops at one share of the rows, and what training on the rest does where that was tried.

    Attributes:
        method: Its name.
        share: Of all rows, dropped.
        dropped: Rows, of each draw.
        precision: Share of the dropped that are known to be bad, a mean over draws; None where nothing is known.
        recall: Share of the known bad rows that are dropped, likewise.
        before: Misaligned open answers after training on all rows, over all seeds; None where the rest was not
            trained on.
        after: After training on the rest, of as many answers.
        answers: How many these are.
        by_counts: Fall of these counts, 1 - after / before; None where there was nothing to fall.
        by_rates: Fall of the rate, every question and seed counting alike, with its interval.
    """

    method: str
    share: float
    dropped: int
    precision: float | None
    recall: float | None
    before: int | None = None
    after: int | None = None
    answers: int | None = None
    by_counts: float | None = None
    by_rates: Reduction | None = None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """How many rows have a score from `low` to `high`; `bad` of them are known to be, None where nothing is known."""

    low: float
    high: float
    rows: int
    bad: int | None


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """The scores of one method.

    Attributes:
        method: Its name.
        bins: From the lowest; the outermost ones hold what lies beyond them as well.
        threshold: Least score that is dropped; None where no row with a score is.
        unscored: Rows without a score.
    """

    method: str
    bins: tuple[Bin, ...]
    threshold: float | None
    unscored: int


@dataclass(frozen=True, kw_only=True)
class TopRow:
    """A row of the data: its line, score, whether it is known to be bad, its kind where it has one, and its texts."""

    row: int
    score: float
    bad: bool | None
    kind: str
    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Top:
    """The rows that one method drops first."""

    method: str
    rows: tuple[TopRow, ...]


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What the study adds to the findings.

    Attributes:
        base: The base model, not trained.
        methods: The fine-tunes, those on all rows first.
        rows: Rows of the data.
        set_aside: Lines that are no chats.
        known_bad: Rows known to be bad; None where nothing is known.
        dropped: Rows that each method drops.
        seeds: Fine-tunes a method.
        steps: Optimiser steps of each.
        preset: Of the fine-tunes.
        scores: A histogram a method.
        top: The first rows of each ranking.
        paper: What was published, by method.
        costs: Of each method's scores.
        levels: Every method at several shares of the rows.
    """

    base: Groups
    methods: tuple[TrainedArm, ...]
    rows: int
    set_aside: int
    known_bad: int | None
    dropped: int
    seeds: int
    steps: int
    preset: str
    scores: tuple[Histogram, ...]
    top: tuple[Top, ...]
    paper: Mapping[str, str]
    costs: tuple[MethodCost, ...] = ()
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScreeningResults(Results):
    """The findings of the study of screening."""

    screening: Screening


RESULTS = ScreeningResults
