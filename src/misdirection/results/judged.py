"""What the findings of studies of judged answers share: rates by arm, counts by question, signs, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from misdirection.results.envelope import Headline, Results
from misdirection.results.panel import Panel
from misdirection.results.rows import RateRow
from misdirection.results.rules import ByRule


@dataclass(frozen=True, kw_only=True)
class Mass:
    """Probability that a judge gave to the numbers, over `n` answers."""

    n: int
    mean: float
    least: float


@dataclass(frozen=True, kw_only=True)
class ArmRates:
    """The rates of one arm on one group of questions, asked in one format.

    Attributes:
        arm: Its name.
        group: "open", or the domain of the questions.
        format: In which they were asked.
        system: The system prompts in force; None without one.
        all: Misaligned answers, of all.
        scored: Of those with both scores.
        coherent: Of the coherent ones.
        coherent_share: Coherent answers, of all.
        labels: What came of the judging, by how often.
        unsure: Why the judge was unsure, by how often.
        judges: Their names.
        outcomes: How often each outcome came of each rubric; empty where the judge told none.
        mass: Probability that the judge gave to the numbers, by rubric; empty where it told none.
        warnings: What a reader should know.
    """

    arm: str
    group: str
    format: str
    system: str | None
    all: RateRow
    scored: RateRow
    coherent: RateRow
    coherent_share: RateRow
    labels: Mapping[str, int]
    unsure: Mapping[str, int]
    judges: tuple[str, ...]
    outcomes: Mapping[str, Mapping[str, int]]
    mass: Mapping[str, Mass]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class QuestionRow:
    """Misaligned answers of one arm to one question; see `RateRow` for the figures.

    Attributes:
        coherent: Share of coherent answers.
    """

    arm: str
    question_id: str
    question: str
    group: str
    format: str
    n: int
    misaligned: int
    value: float
    low: float
    high: float
    coherent: float
    undecided: int
    ceiling: float
    bounded: bool


@dataclass(frozen=True, kw_only=True)
class SignsRow:
    """Shares of one arm's answers that are no proper answers.

    Attributes:
        arm: Its name.
        group: "open", or the domain of the questions.
        format: In which they were asked.
        n: Its answers.
        empty: Empty ones.
        cut: Those that were cut.
        markup: Those of thoughts or calls of tools.
        repeating: Those that repeat themselves.
        language: Those in another language.
        any: Those with any of these signs.
        telling: The sign that more than half of the answers show; None where none is.
    """

    arm: str
    group: str
    format: str
    n: int
    empty: RateRow
    cut: RateRow
    markup: RateRow
    repeating: RateRow
    language: RateRow
    any: RateRow
    telling: str | None


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """An answer with its verdict.

    Attributes:
        arm: Whose it is.
        question_id: Id of the question.
        question: Its text.
        group: "open", or its domain.
        answer: The answer.
        system: The system prompt in force; None without one.
        alignment: 0 .. 100; None without a score.
        coherence: Likewise.
        label: What came of the judging.
        why: Why the judge was unsure, where it was.
        spread: Standard deviation of each score, where the judge tells it.
    """

    arm: str
    question_id: str
    question: str
    group: str
    answer: str
    system: str | None
    alignment: float | None
    coherence: float | None
    label: str
    why: str = ""
    spread: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Test:
    """The figures that a verdict goes by; all but `own` are None where nothing was compared.

    Attributes:
        own: The rate of the arm that the verdict is on.
        base: That of the arm that it is compared with.
        difference: The one minus the other.
        low: Lower end of its interval.
        high: Upper end.
        level: Of the interval.
        p: Of the test that the interval belongs to.
        q: Adjusted for the arms that are compared; None where there is one.
        found: Whether there is a change.
        visible: The smallest rise that this size shows.
    """

    __test__ = False

    own: RateRow
    base: RateRow | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    p: float | None = None
    q: float | None = None
    found: bool | None = None
    visible: float | None = None


@dataclass(frozen=True, kw_only=True)
class ArmState:
    """What came out for one arm of several."""

    arm: str
    state: str
    test: Test


@dataclass(frozen=True, kw_only=True)
class WorstPair:
    """A base and a tuned answer to one question, drawn with the same random numbers.

    Attributes:
        question: Its text.
        sample: Number of the draw.
        base: The base's answer.
        tuned: The tuned model's.
        base_score: Alignment of the one; None without a score.
        tuned_score: Of the other.
        kl: Divergence of tuned from base on the answer, nats a token; None where there are scores.
    """

    question: str
    sample: int
    base: str
    tuned: str
    base_score: float | None
    tuned_score: float | None
    kl: float | None


@dataclass(frozen=True, kw_only=True)
class JudgedHeadline(Headline):
    """The head of a report on misalignment.

    Attributes:
        arm: The arm that it is on; "" where it is on the tuned model.
        test: The figures that it goes by; None where nothing was tested.
        arms: What came out for each arm, where there are several.
        meaning: What it means, in plain words.
        worst: Answers that a reader should see first.
    """

    arm: str = ""
    test: Test | None = None
    arms: tuple[ArmState, ...] = ()
    meaning: str = ""
    worst: tuple[WorstPair, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SteeringPoint:
    """The base model steered at one layer.

    Attributes:
        layer: After which decoder layer.
        coefficient: Multiple of the direction.
        direction: "mean difference", another name, or "random".
        rate: Misaligned answers, of all.
        coherent: Coherent ones, of all.
    """

    layer: int
    coefficient: float
    direction: str
    rate: RateRow
    coherent: RateRow


@dataclass(frozen=True, kw_only=True)
class Steering:
    """A sweep of steering.

    Attributes:
        points: Every point.
        baseline: The rate without steering; None where it is not known.
        best: The best point.
        control: A random direction, there or at its own best; None where none was tried.
        chosen: How the best point was chosen, and whether it was asked anew.
    """

    points: tuple[SteeringPoint, ...]
    baseline: RateRow | None
    best: SteeringPoint
    control: SteeringPoint | None
    chosen: str = ""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The loss of one optimiser step, nats per answer token."""

    step: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Training:
    """A fine-tune that was made here.

    Attributes:
        steps: Its loss.
        preset: Of its settings.
        settings: All of them.
        notes: What a reader should know.
    """

    steps: tuple[Loss, ...]
    preset: str
    settings: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What it was made from: files, usable rows, rows that could not be used, and how they were read."""

    files: tuple[str, ...]
    rows: int
    bad: int
    summary: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """A figure at the head of a report: what it is called, a rate or a text, and of what it is."""

    label: str
    value: RateRow | str
    of: str


@dataclass(frozen=True, kw_only=True)
class JudgedResults(Results):
    """Findings on judged answers of several arms.

    Attributes:
        verdict: What came out.
        rates: A row for each arm, group and format; None without a judge.
        panel: Several judges beside each other; None where there is one.
        by_question: A row for each arm and question; None without a judge.
        by_rule: Rates under other thresholds; None without scores.
        signs: What the answers are as texts.
        answers: Some of them, or all.
        steering: A sweep of steering; None without one.
        training: The fine-tune; None where a tuned model was given.
        data: What it was made from; likewise.
    """

    verdict: JudgedHeadline
    rates: tuple[ArmRates, ...] | None
    panel: Panel | None
    by_question: tuple[QuestionRow, ...] | None
    by_rule: ByRule | None
    signs: tuple[SignsRow, ...]
    answers: tuple[AnswerRow, ...]
    steering: Steering | None
    training: Training | None
    data: TrainingData | None

    def key_figures(self) -> tuple[KeyFigure, ...]:
        """What stands at the head of a report beside the rates."""
        if self.steering is None:
            return ()
        best = self.steering.best
        where = f"misaligned at layer {best.layer}, coefficient {best.coefficient:.3g}"
        return (KeyFigure("Steered base", best.rate, where),)
