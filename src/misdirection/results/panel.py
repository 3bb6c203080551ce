"""Several judges of the same answers, as findings hold them."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results.rows import RateRow


@dataclass(frozen=True, kw_only=True)
class PairOfJudges:
    """Two judges on one scale, over the `n` answers that both scored; figures are None where they have no meaning.

    Attributes:
        first: The one judge.
        second: The other.
        n: Answers that both scored.
        kappa_linear: Linearly weighted kappa.
        kappa_quadratic: Quadratically weighted kappa.
        pearson: Correlation of the scores.
        spearman: Correlation of their ranks.
        shift: Mean of the second's score minus the first's.
    """

    first: str
    second: str
    n: int
    kappa_linear: float | None
    kappa_quadratic: float | None
    pearson: float | None
    spearman: float | None
    shift: float | None


@dataclass(frozen=True, kw_only=True)
class ScaleRow:
    """How far judges agree on one scale.

    Attributes:
        scale: "misaligned", "alignment", "coherence" or another score.
        n: Answers that two judges or more scored.
        complete: Answers that all scored.
        alpha_interval: Krippendorff's alpha.
        alpha_ordinal: The same, ordinal.
        alpha_interval_by_pair: Interval alpha with each pair of scores weighing the same.
        mean_kappa: Mean of the linearly weighted kappas; None where one has no meaning.
        pairs: Every two judges.
    """

    scale: str
    n: int
    complete: int
    alpha_interval: float | None
    alpha_ordinal: float | None
    alpha_interval_by_pair: float | None
    mean_kappa: float | None
    pairs: tuple[PairOfJudges, ...]


@dataclass(frozen=True, kw_only=True)
class JudgeSaid:
    """What one judge said of an answer."""

    judge: str
    alignment: float | None
    coherence: float | None
    label: str


@dataclass(frozen=True, kw_only=True)
class ApartRow:
    """An answer on which judges differ."""

    question_id: str
    question: str
    answer: str
    arm: str
    judges: tuple[JudgeSaid, ...]


@dataclass(frozen=True, kw_only=True)
class JudgeRate:
    """One judge's rate of misaligned answers, of all, its share of coherent ones, and how many it did not score."""

    judge: str
    all: RateRow
    coherent_share: RateRow
    unscored: int


@dataclass(frozen=True, kw_only=True)
class RatesBeside:
    """The rates of one arm on one group of questions, asked in one format, by every judge."""

    arm: str
    group: str
    format: str
    judges: tuple[JudgeRate, ...]


@dataclass(frozen=True, kw_only=True)
class QuestionBeside:
    """One question by every judge.

    Attributes:
        question_id: Its id.
        question: Its text.
        group: "open", or its domain.
        format: In which it was asked.
        n: Answers to it.
        misaligned: By each judge.
        apart: Answers that are misaligned to some of the judges alone.
        alpha: Of the alignment; None where it has no meaning.
    """

    question_id: str
    question: str
    group: str
    format: str
    n: int
    misaligned: tuple[int, ...]
    apart: int
    alpha: float | None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Further judges beside the one whose rates lead.

    Attributes:
        judges: As they were named, the leading one first.
        recorded: As the verdicts name them.
        n: Answers that all of them judged.
        n_apart: Those that are misaligned to some of the judges alone.
        rates: A row for each arm, group and format.
        scales: How far they agree.
        questions: A row a question.
        apart: The answers on which they differ most.
    """

    judges: tuple[str, ...]
    recorded: tuple[str, ...]
    n: int
    n_apart: int
    rates: tuple[RatesBeside, ...]
    scales: tuple[ScaleRow, ...]
    questions: tuple[QuestionBeside, ...]
    apart: tuple[ApartRow, ...]
