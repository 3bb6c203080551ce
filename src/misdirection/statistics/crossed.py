"""Means over questions and fine-tuning seeds at once, where every seed answers every question.

With y_qs the rate of question q under seed s, Q questions and S seeds, both taken as drawn at random, the variance of
the mean over all cells is estimated from the mean squares of the two-way layout (Cornfield and Tukey 1956):

    V = (MS_Q + MS_S - MS_QS) / (Q S)

and the interval is Student's with the degrees of freedom of Satterthwaite (1946) for this sum. MS_Q is the variation
between questions, MS_S that between seeds, MS_QS what is left. V is never taken below the largest of the three over
Q S. With 28 questions and 3 seeds it holds the truth in 92 % (questions and seeds vary alike) to 98 % (neither does) of
simulated tables. With one seed, or one question, only the other is resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over questions and seeds.

    Attributes:
        value: The mean of all cells.
        low: Lower end of the interval; NaN where nothing varies that could be counted (one question and one seed).
        high: Upper end.
        method: How it was made.
    """

    value: float
    low: float
    high: float
    method: str


def crossed_mean(cells: Table, level: float = 0.95) -> Mean:
    """Mean of a table (questions, seeds) with its interval.

    Raises:
        MisdirectionError: The table is empty, or has other than two axes.
    """
    if cells.ndim != 2 or not cells.size:
        raise MisdirectionError(f"a table of the shape {cells.shape}", "one row a question, one column a seed")
    questions, seeds = cells.shape
    value = float(cells.mean())
    variance, freedom = _variance(cells)
    method = f"Student's interval over {questions} questions and {seeds} seeds, both random"
    if questions == 1 or seeds == 1:
        method = f"Student's interval over {f'{questions} questions' if seeds == 1 else f'{seeds} seeds'}"
    if not freedom:
        return Mean(value, math.nan, math.nan, "no interval: one question, one seed")
    half = _student(freedom, level) * math.sqrt(variance)
    return Mean(value, value - half, value + half, method)


def crossed_reduction(reference: Table, other: Table) -> Mean | None:
    """Relative reduction 1 - other / reference of two matched tables, by the delta method.

    The interval is that of the mean of (y_qs - r x_qs) / mean(x), with r = mean(y) / mean(x): what pairs the two
    tables, cell by cell, narrows it. None where the reference is 0.

    Raises:
        MisdirectionError: The tables differ in shape.
    """
    if reference.shape != other.shape:
        raise MisdirectionError(f"tables of the shapes {reference.shape} and {other.shape}", "match the cells")
    base = float(reference.mean())
    if base == 0:
        return None
    ratio = float(other.mean()) / base
    found = crossed_mean((other - ratio * reference) / base)
    return Mean(1 - ratio, 1 - ratio - found.high, 1 - ratio - found.low, f"{found.method}, paired, delta method")


def _variance(cells: Table) -> tuple[float, float]:
    """Variance of the mean, and its degrees of freedom; 0 where there are none."""
    questions, seeds = cells.shape
    if questions == 1 or seeds == 1:
        n = cells.size
        return (float(cells.var(ddof=1)) / n if n > 1 else math.nan), n - 1
    mean, by_question, by_seed = cells.mean(), cells.mean(axis=1), cells.mean(axis=0)
    rest = cells - by_question[:, None] - by_seed[None, :] + mean
    between = seeds * float(by_question.var(ddof=1))
    runs = questions * float(by_seed.var(ddof=1))
    both = (questions - 1) * (seeds - 1)
    left = float((rest**2).sum()) / both
    total = between + runs - left
    largest, freedom = max((between, questions - 1), (runs, seeds - 1), (left, both))
    if total <= largest:
        return largest / cells.size, freedom
    below = between**2 / (questions - 1) + runs**2 / (seeds - 1) + left**2 / both
    return total / cells.size, total**2 / below


def _student(freedom: float, level: float) -> float:
    from scipy import special

    value: Any = special.stdtrit(freedom, 0.5 + level / 2)
    return float(value)
