"""What came out of comparing two runs, as dataclasses; always the second run minus the first."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Difference, RateRow, Reduction, Results
from misdirection.results.rows import Interval
from misdirection.statistics.decision import LEVEL

SAMPLE = "question and sample"
"""Paired so where both runs drew the same samples of the same wordings with the same seeds."""
QUESTION = "question"
"""Paired so where they did not."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """One of the two runs.

    Attributes:
        name: Its folder or file, as given.
        kind: Its study; "sample" where answers were judged and nothing else was done.
        model: The base model, or ""; behind it the tuned one where it is named.
        state: Of its verdict; "" where it has none.
        sentence: Its verdict in words.
        details: More of it.
        judges: Who judged.
    """

    name: str
    kind: str
    model: str
    state: str
    sentence: str
    details: tuple[str, ...]
    judges: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ArmChange:
    """The rate of an arm in both runs, over what both asked it.

    Attributes:
        asked: Which answers of the run: "main", or the name of a part, such as "cures".
        group: "open", or the domain of the questions.
        format: In which they were asked.
        arm: Its name; "one to another" where the names differ.
        first: Misaligned answers of the first run, of all that were matched.
        second: Of the second.
        difference: Second minus first, with a paired test over questions.
        level: Of the difference's interval: with q that which belongs to it. The rates' are of 95 %.
        q: p adjusted for all rows (Benjamini and Hochberg); None where there is one.
        found: Whether q, or p, is below 0.05.
        paired: `SAMPLE` or `QUESTION`.
        p_answers: Exact McNemar test over pairs of answers; None where they are paired by question alone.
        only_first: Pairs of which only the first run's answer is misaligned; None likewise.
        only_second: Pairs of which only the second run's is; None likewise.
        pairs: Matched pairs of answers.
        same: Of these, those with the same words; None where there are no texts or they are not paired by sample.
        unmatched: Answers without a partner, in the first run and in the second.
    """

    asked: str
    group: str
    format: str
    arm: str
    first: RateRow
    second: RateRow
    difference: Difference
    q: float | None
    found: bool
    paired: str
    p_answers: float | None
    only_first: int | None
    only_second: int | None
    pairs: int
    same: int | None
    unmatched: tuple[int, int]
    level: float = LEVEL


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """A setting, or a fact of the model, that is not the same in both runs; "" where a run does not name it."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class FigureChange:
    """A figure that both runs' typed findings hold under one key, and that differs.

    Attributes:
        table: Of the findings.
        row: What names the row in it.
        figure: Name of the column.
        first: Of the first run, with its interval where it has one.
        second: Of the second.
        difference: Second minus first; its interval is made of both own ones, taken as independent, where both are
            rates with intervals, and is left out otherwise.
    """

    table: str
    row: str
    figure: str
    first: Interval
    second: Interval
    difference: Interval


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """What two tables of one name have in common.

    Attributes:
        table: Its name.
        shared: Rows of the same key.
        first: Rows of the first run alone.
        second: Of the second alone.
        differing: Figures that differ.
    """

    table: str
    shared: int
    first: int
    second: int
    differing: int


@dataclass(frozen=True, kw_only=True)
class BestRemoval:
    """The best removal of a run; see `Cure`. `run` is 1 or 2."""

    run: int
    label: str
    rate: RateRow
    coherent_share: RateRow
    reduction: Reduction | None


@dataclass(frozen=True, kw_only=True)
class ComparisonResults(Results):
    """Two runs beside each other.

    Attributes:
        runs: The first and the second.
        arms: Rates of the arms of both.
        settings_changed: What differs in settings and model.
        tables: Tables of typed findings that both have.
        figures: What differs in them.
        removals: The best removal of each run that has one.
    """

    runs: tuple[RunFacts, ...]
    arms: tuple[ArmChange, ...]
    settings_changed: tuple[SettingChange, ...]
    tables: tuple[TableFacts, ...]
    figures: tuple[FigureChange, ...]
    removals: tuple[BestRemoval, ...]


RESULTS = ComparisonResults
