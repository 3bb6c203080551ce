"""What a dearer judge said of some of the answers, as findings hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BothEnds:
    """A figure by the dear judge with two intervals; None where it has no meaning.

    Attributes:
        value: The estimate.
        low: Lower end of its interval for other questions of the kind.
        high: Upper end.
        low_here: Lower end of its interval for these very answers.
        high_here: Upper end.
        n_questions: Questions behind it.
        method: How the intervals were made.
    """

    value: float | None
    low: float | None
    high: float | None
    low_here: float | None
    high_here: float | None
    n_questions: int
    method: str


@dataclass(frozen=True, kw_only=True)
class CheckedRow(BothEnds):
    """A rate by the dear judge under one denominator; see `statistics.CheckedRate` for the counts."""

    cheap: float | None
    denominator: str
    n_answers: int
    n_drawn: int
    n_dear: int
    missing: Mapping[str, int]
    misaligned: int
    factor: float | None


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Of `n` answers that both judges scored, how many they call the same."""

    n: int
    same: int


@dataclass(frozen=True, kw_only=True)
class CheckedPart:
    """One arm on one group of questions, asked in one format.

    Attributes:
        arm: Its name.
        group: "open", or a domain.
        format: Of the questions.
        n: Its answers.
        drawn: Those that the dear judge was asked about.
        labels: What came of that.
        all: The rate of all answers; None where the dear judge gave no verdict.
        scored: Of scored ones.
        coherent: Of coherent ones.
        alike: How often both judges say the same; None without a verdict.
        warnings: What a reader should know.
    """

    arm: str
    group: str
    format: str
    n: int
    drawn: int
    labels: Mapping[str, int]
    all: CheckedRow | None
    scored: CheckedRow | None
    coherent: CheckedRow | None
    alike: Alike | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CheckedGap(BothEnds):
    """The rate of `arm` minus that of the arm `minus`, of all answers, by the dear judge."""

    arm: str
    minus: str
    group: str
    format: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The part of findings that a dearer judge adds.

    Attributes:
        judge: As it was named.
        name: As the verdicts name it.
        cheap: The judge of all answers.
        n: Answers that were drawn.
        of: Answers in all.
        seed: Of the draw.
        rows: A row for each arm, group and format.
        differences: Of every arm from the first.
        outcomes: What came of asking, by how often.
    """

    judge: str
    name: str
    cheap: str
    n: int
    of: int
    seed: int
    rows: tuple[CheckedPart, ...]
    differences: tuple[CheckedGap, ...]
    outcomes: Mapping[str, int]
