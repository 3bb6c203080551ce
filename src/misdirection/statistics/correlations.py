"""Correlations over prompts, and means, with intervals that draw questions anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from misdirection.statistics.intervals import expanded_percentiles

How = Literal["overall", "between", "within"]

RESAMPLES = 1000
EXACT_UP_TO = 7
"""Points up to which every order is tried."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimated:
    """A figure with its interval.

    Attributes:
        value: NaN where there is none.
        low: Lower end; NaN where there are too few questions to draw from.
        high: Upper end.
        n: How many points it is of.
    """

    value: float
    low: float
    high: float
    n: int


def pearson(a: Numbers, b: Numbers) -> float | None:
    """Pearson's correlation; None where one of the two does not vary."""
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max():
        return None
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))


def mid_ranks(values: Numbers) -> Numbers:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def spearman(
    first: Sequence[float | None], second: Sequence[float | None], least: int = 4
) -> tuple[float, float, int] | None:
    """Spearman's correlation of the pairs that are known, its two-sided p, and how many there are.

    None with fewer than `least`, or where one side does not vary.
    """
    from scipy.stats import spearmanr

    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(both) < least or any(len(set(side)) == 1 for side in zip(*both, strict=True)):
        return None
    found: Any = spearmanr([a for a, _ in both], [b for _, b in both])
    return float(found.statistic), float(found.pvalue), len(both)


def prompt_correlation(
    x: Numbers,
    y: Numbers,
    prompts: Sequence[Hashable],
    questions: Sequence[Hashable],
    how: How = "overall",
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimated:
    """Pearson's correlation of points that each belong to a prompt and a question, with its interval.

    "overall" takes the points as they are; "between" the means of each prompt, over its questions; "within" what is
    left of each point when its prompt's means are taken away (2507.21509 section 3.3: much of the overall correlation
    is between prompts). Points without a number in x or y are left out. The interval draws questions.

    Args:
        x: Shape (points,).
        y: The same.
        prompts: Of each point.
        questions: Of each point; the same question under several prompts is drawn with all of them.
        how: Of the three.
        level: Of the interval.
        resamples: Draws of questions.
        seed: Of them.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    _, prompt = _numbered([p for p, k in zip(prompts, known, strict=True) if k])
    names, question = _numbered([q for q, k in zip(questions, known, strict=True) if k])

    def of(weights: Numbers) -> float:
        return _weighted(x, y, prompt, weights[question] if len(weights) else weights, how)

    value = of(np.ones(len(names)))
    many = int(prompt.max(initial=-1)) + 1 if how == "between" else len(x)
    return Estimated(value, *_drawn(of, len(names), level, resamples, seed), many)


def _weighted(x: Numbers, y: Numbers, prompt: NDArray[np.intp], weights: Numbers, how: How) -> float:
    """Correlation with a weight a point."""
    if not len(x):
        return math.nan
    if how != "overall":
        total = np.bincount(prompt, weights)
        share = np.where(total > 0, total, 1.0)
        means = [np.bincount(prompt, weights * values) / share for values in (x, y)]
        if how == "between":
            x, y, weights = means[0], means[1], (total > 0).astype(np.float64)
        else:
            x, y = x - means[0][prompt], y - means[1][prompt]
    whole = weights.sum()
    a, b = (values - (weights * values).sum() / whole for values in (x, y))
    spread = (weights * a**2).sum() * (weights * b**2).sum()
    scale = max(float(np.abs(x).max()) * float(np.abs(y).max()), 1e-300)
    return float((weights * a * b).sum() / np.sqrt(spread)) if np.sqrt(spread) > 1e-12 * scale else math.nan


def question_mean(
    values: Numbers,
    questions: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimated:
    """The mean of values that belong to questions, with the interval of a bootstrap over questions."""
    known = ~np.isnan(values)
    values = values[known]
    names, question = _numbered([q for q, k in zip(questions, known, strict=True) if k])
    if not len(values):
        return Estimated(math.nan, math.nan, math.nan, 0)
    sums, counts = np.bincount(question, values), np.bincount(question)

    def of(weights: Numbers) -> float:
        return float((weights * sums).sum() / (weights * counts).sum())

    ends = _drawn(of, len(names), level, resamples, seed)
    return Estimated(of(np.ones(len(names))), *ends, len(values))


def permutation_p(x: Numbers, y: Numbers, *, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of a correlation under all orders of y, or under `draws` of them; NaN where one does not vary.

    Exact up to `EXACT_UP_TO` points.
    """
    found = pearson(x, y)
    if found is None:
        return math.nan
    least = abs(found) - 1e-12
    a = x - x.mean()
    b = (y - y.mean()) / np.sqrt(((x - x.mean()) ** 2).sum() * ((y - y.mean()) ** 2).sum())
    if len(x) <= EXACT_UP_TO:
        orders = np.array(list(permutations(range(len(x)))))
        return float((np.abs(b[orders] @ a) >= least).mean())
    generator = np.random.default_rng(seed)
    hits = sum(abs(float(generator.permutation(b) @ a)) >= least for _ in range(draws))
    return (hits + 1) / (draws + 1)


def _numbered(names: Sequence[Hashable]) -> tuple[list[Hashable], NDArray[np.intp]]:
    places: dict[Hashable, int] = {}
    numbers = [places.setdefault(name, len(places)) for name in names]
    return list(places), np.array(numbers, dtype=np.intp)


def _drawn(of: Callable[[Numbers], float], count: int, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Ends of the interval of a figure over draws of `count` questions."""
    if count < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(count, [1 / count] * count, size=resamples).astype(np.float64)
    draws = np.array([of(row) for row in weights])
    if np.isnan(draws).all():
        return math.nan, math.nan
    return expanded_percentiles(draws, ["question"] * count, level)
