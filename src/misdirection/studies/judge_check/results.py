"""What came out of checking a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Results
from misdirection.results.panel import ApartRow, ScaleRow


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of all questions, with the middle 95 % of those of resampled questions; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class BothRates:
    """Weighted shares of misaligned answers by the corpus's judge and by the checked one, and the second minus it."""

    reference: float | None
    judge: float | None
    difference: Figure


@dataclass(frozen=True, kw_only=True)
class CalibrationRow:
    """The answers that the judge gave an alignment from `low` to `high`.

    Attributes:
        low: Where the bin begins.
        high: Where it ends.
        n: Answers in it.
        judge: Mean alignment by the checked judge.
        reference: By the corpus's judge.
        misaligned: Share that is misaligned to that one.
    """

    low: float
    high: float
    n: int
    judge: float
    reference: float
    misaligned: float


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """The answers to one question, or of one family.

    Attributes:
        name: The question, or the family.
        n: Answers that the judge scored.
        reference: Misaligned by the corpus's judge.
        judge: By the checked one.
        kappa: Of the two; None where it has no meaning.
        correlation: Of their alignments; None likewise, and of few answers.
    """

    name: str
    n: int
    reference: int
    judge: int
    kappa: float | None
    correlation: float | None


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How far a judge says what the corpus's judge said.

    Attributes:
        n: Answers that it was asked about.
        scored: Those that it scored; every figure is over these.
        labels: What came of asking, by how often.
        outcomes: How often each outcome came of each rubric.
        kappa: Of "misaligned", weighted.
        kappa_unweighted: Of the part as it was taken.
        confusion: Answers, by the corpus's judge (rows) and the checked one: not misaligned, misaligned.
        rates: Both judges' rates.
        scales: How far they agree on each scale.
        calibration: By the judge's alignment.
        points: Alignment of each answer: the corpus's judge's, the checked one's.
        questions: A row a question.
        families: A row a family; none where the corpus names none.
        apart: Where the two part most.
        n_apart: Answers that one of them alone calls misaligned.
    """

    n: int
    scored: int
    labels: Mapping[str, int]
    outcomes: Mapping[str, Mapping[str, int]]
    kappa: Figure
    kappa_unweighted: float | None
    confusion: tuple[tuple[int, ...], ...]
    rates: BothRates
    scales: tuple[ScaleRow, ...]
    calibration: tuple[CalibrationRow, ...]
    points: tuple[tuple[float, ...], ...]
    questions: tuple[GroupRow, ...]
    families: tuple[GroupRow, ...]
    apart: tuple[ApartRow, ...]
    n_apart: int


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """The table of judged answers: its file's name and hash, its answers with both scores, and the part's hash."""

    file: str
    sha256: str
    size: int
    part: str


@dataclass(frozen=True, kw_only=True)
class Check(Measures):
    """What the study adds to the findings.

    Attributes:
        judge: Name of the judge, as its verdicts have it.
        spec: As it was named.
        revision: Of its model, where that is known.
        corpus: What it was checked on.
        record: File in which the figures are kept.
    """

    judge: str
    spec: str
    revision: str
    corpus: CorpusFacts
    record: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckResults(Results):
    """The findings of the check of a judge."""

    check: Check


RESULTS = CheckResults
