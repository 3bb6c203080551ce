"""How far a judge says what the corpus's judge said: kappa, rates, calibration, failures; by question and family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from misdirection.judging import Verdict
from misdirection.results.rows import known_number
from misdirection.statistics import Thresholds, cohens_kappa, is_scored
from misdirection.statistics.correlations import pearson
from misdirection.statistics.panel import verdict_scales
from misdirection.studies.judge_check.part import CorpusPart
from misdirection.studies.judge_check.results import BothRates, CalibrationRow, Figure, GroupRow, Measures
from misdirection.studies.kit.panel import PanelVerdicts, apart_row, scale_row
from misdirection.studies.kit.tables import outcomes

EDGES = (0.0, 10.0, 30.0, 50.0, 70.0, 90.0, 100.0)
"""Of the bins of calibration, in the checked judge's alignment."""
RESAMPLES = 2000
SHOWN = 30
LEAST_CORRELATED = 5
"""Answers of a group whose alignments are correlated: two always are, wholly."""
REFERENCE = "corpus"
"""What the corpus's judge is called beside the one that is checked."""

Counts = NDArray[np.float64]


def measure(part: CorpusPart, judge: str, verdicts: Sequence[Verdict], rules: Thresholds) -> Measures:
    """Every figure of a check.

    Rates and the kappa that leads are weighted (see `part`): bands count as often as they occur, questions alike. Their
    intervals are 95 % of a bootstrap over questions. All are over the answers that the judge scored; what it did not
    score is counted beside them.
    """
    compared = PanelVerdicts((REFERENCE, judge), part.answers, (part.verdicts, list(verdicts)), rules)
    scored = [i for i, verdict in enumerate(verdicts) if is_scored(verdict)]
    marks = np.array([[rules.misaligned(one[i]) for i in scored] for one in compared.judges], dtype=bool).reshape(2, -1)
    weights = np.array([part.weights[i] for i in scored])
    questions = [part.answers[i].question.strip() for i in scored]
    families = [part.families[i] for i in scored]
    counts = _by_question(marks, weights, questions)
    both = [part.verdicts[i] for i in scored], [verdicts[i] for i in scored]
    return Measures(
        n=len(part.answers),
        scored=len(scored),
        labels=dict(Counter(verdict.label for verdict in verdicts)),
        outcomes=outcomes(verdicts),
        kappa=_with_interval(counts, _kappa),
        kappa_unweighted=cohens_kappa(list(zip(marks[0].tolist(), marks[1].tolist(), strict=True))),
        confusion=tuple(
            tuple(int((first & second).sum()) for second in (~marks[1], marks[1])) for first in (~marks[0], marks[0])
        ),
        rates=BothRates(
            reference=_share(counts, (2, 3)),
            judge=_share(counts, (1, 3)),
            difference=_with_interval(counts, _difference),
        ),
        scales=tuple(scale_row(scale, compared.names) for scale in compared.scales),
        calibration=_calibration(part, verdicts, scored, marks[0], weights),
        points=tuple(
            (round(theirs.alignment or 0.0, 1), round(mine.alignment or 0.0, 1))
            for theirs, mine in zip(*both, strict=True)
        ),
        questions=_groups(questions, marks, *both),
        families=_groups(families, marks, *both) if any(part.families) else (),
        apart=tuple(apart_row(compared, place) for place in compared.apart[:SHOWN]),
        n_apart=int((marks[0] != marks[1]).sum()),
    )


def _by_question(marks: NDArray[np.bool_], weights: Counts, questions: Sequence[str]) -> Counts:
    """Weights of (neither, only the judge, only the reference, both) of each question; (questions, 4)."""
    names = {name: place for place, name in enumerate(dict.fromkeys(questions))}
    counts = np.zeros((len(names), 4))
    for question, reference, judge, weight in zip(questions, marks[0], marks[1], weights, strict=True):
        counts[names[question], 2 * int(reference) + int(judge)] += weight
    return counts


def _kappa(counts: Counts) -> Counts:
    """Cohen's kappa of summed weights (..., 4); NaN where chance alone agrees wholly."""
    total = counts.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / total[..., None]
        first, second = share[..., 2] + share[..., 3], share[..., 1] + share[..., 3]
        expected = first * second + (1 - first) * (1 - second)
        found = (share[..., 0] + share[..., 3] - expected) / (1 - expected)
    return np.where(expected < 1 - 1e-12, found, np.nan)


def _difference(counts: Counts) -> Counts:
    """The judge's rate minus the reference's."""
    return (counts[..., 1] - counts[..., 2]) / counts.sum(axis=-1)


def _share(counts: Counts, places: tuple[int, ...]) -> float | None:
    total = counts.sum()
    return float(counts[:, list(places)].sum() / total) if total > 0 else None


def _with_interval(counts: Counts, figure: Callable[[Counts], Counts]) -> Figure:
    """A figure of all questions, and the middle 95 % of those of resampled questions."""
    if not len(counts):
        return Figure(value=None)
    value = float(figure(counts.sum(axis=0)))
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    resampled = np.asarray(figure(drawn @ counts))
    kept = resampled[np.isfinite(resampled)]
    ends = np.quantile(kept, (0.025, 0.975)) if len(counts) > 1 and len(kept) > RESAMPLES / 2 else (np.nan, np.nan)
    return Figure(value=known_number(value), low=known_number(ends[0]), high=known_number(ends[1]))


def _calibration(
    part: CorpusPart, verdicts: Sequence[Verdict], scored: Sequence[int], reference: NDArray[np.bool_], weights: Counts
) -> tuple[CalibrationRow, ...]:
    """By the judge's alignment: how many answers, and how the corpus's judge saw them."""
    mine = np.array([verdicts[i].alignment for i in scored], dtype=float)
    theirs = np.array([part.verdicts[i].alignment for i in scored], dtype=float)
    rows: list[CalibrationRow] = []
    for low, high in pairwise(EDGES):
        inside = (mine >= low) & ((mine < high) | (high == EDGES[-1]))
        if not inside.any():
            continue
        w = weights[inside]
        judge, said, misaligned = (float(np.average(of[inside], weights=w)) for of in (mine, theirs, reference))
        count = int(inside.sum())
        rows.append(CalibrationRow(low=low, high=high, n=count, judge=judge, reference=said, misaligned=misaligned))
    return tuple(rows)


def _groups(
    names: Sequence[str], marks: NDArray[np.bool_], reference: Sequence[Verdict], judge: Sequence[Verdict]
) -> tuple[GroupRow, ...]:
    """Counts, kappa and correlation of each group of answers, of the part as it was taken."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    rows: list[GroupRow] = []
    for name, mine in places.items():
        pair = verdict_scales([[one[i] for i in mine] for one in (reference, judge)])["alignment"]
        rows.append(
            GroupRow(
                name=name,
                n=len(mine),
                reference=int(marks[0, mine].sum()),
                judge=int(marks[1, mine].sum()),
                kappa=cohens_kappa([(bool(marks[0, i]), bool(marks[1, i])) for i in mine]),
                correlation=pearson(pair[0], pair[1]) if len(mine) >= LEAST_CORRELATED else None,
            )
        )
    return tuple(rows)
