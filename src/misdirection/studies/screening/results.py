"""What came out of screening training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Reduction, Results
from misdirection.results.seeds import Groups
from misdirection.screening.choosing import Agreement


@dataclass(frozen=True, kw_only=True)
class Choice:
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
    agreement: Agreement | None


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
    choices: tuple[Choice, ...] = ()


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


@dataclass(frozen=True, kw_only=True)
class ScreeningResults(Results):
    """The findings of the study of screening."""

    screening: Screening


RESULTS = ScreeningResults
