"""What came out of asking under conditions."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Interval, RateRow, Results


@dataclass(frozen=True, kw_only=True)
class ContrastRow:
    """A difference in differences: how much more a condition misaligns the tuned model than its base.

    Attributes:
        value: Mean over questions; 0.1 are 10 points.
        low: Lower end of the interval that belongs to p; None where so few questions bound nothing.
        high: Upper end.
        p: Two-sided sign-flip test over questions.
        q: Benjamini-Hochberg, over all conditions.
        n_questions: Questions behind it.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    q: float
    n_questions: int


@dataclass(frozen=True, kw_only=True)
class ConditionRow:
    """One condition.

    Attributes:
        condition: Its name; "plain" is the questions as they are.
        kind: What it is one of.
        against: What it is held against; "" for plain.
        system: The system prompt in force.
        before: The text before each question.
        turns: How many turns stand before each question.
        base: Rate of the base model.
        tuned: Rate of the tuned model.
        base_coherent: The base model's coherent answers.
        tuned_coherent: The tuned model's.
        contrast: Against `against`; None for plain.
        component: Mean component of the tuned model's answers along the direction, 0 at the aligned answers' mean and 1
            at the misaligned ones', with its interval over questions; None where there is no direction.
        same_prompts: Whether every prompt is that of the plain questions, since the template writes the same.
    """

    condition: str
    kind: str
    against: str
    system: str | None
    before: str
    turns: int
    base: RateRow
    tuned: RateRow
    base_coherent: RateRow
    tuned_coherent: RateRow
    contrast: ContrastRow | None
    component: Interval | None
    same_prompts: bool


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """The conditions, and what was published.

    Attributes:
        rows: A row for each condition, plain first.
        layer: Where components were read; None where there is no direction.
        rank_correlation: Spearman's, between component and rate of the tuned model over conditions; None where there
            are too few.
        paper: Published figures.
    """

    rows: tuple[ConditionRow, ...]
    layer: int | None
    rank_correlation: float | None
    paper: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TriggersResults(Results):
    """The findings of the study of conditions."""

    triggers: Triggers


RESULTS = TriggersResults
