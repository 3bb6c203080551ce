"""Intervals of a proportion: within one question, and over a set of questions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from misdirection.errors import MisdirectionError
from misdirection.statistics.counts import Cell, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of hits / n, for independent answers.

    (p + z²/2n ± z sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n); (0, 1) when n is 0. Counts need not be whole: an effective
    sample is given as (p n_eff, n_eff).
    """
    if n <= 0:
        return 0.0, 1.0
    z = normal_quantile(0.5 + level / 2)
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half) if hits > 0 else 0.0, min(1.0, middle + half) if hits < n else 1.0


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson, for independent answers; (0, 1) when n is 0."""
    # scipy.stats takes half a second to import; its binomtest does the same.
    from scipy import special

    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def none_seen_bound(sizes: Sequence[int], rho: float, level: float = 0.95) -> float:
    """Largest rate that is compatible with not one hit, when answers to one question are correlated.

    The p at which questions of `sizes` answers show no hit with probability (1 − level) / 2, where a question's own
    rate is drawn from Beta(p(1−ρ)/ρ, (1−p)(1−ρ)/ρ), so that two answers to one question have correlation ρ. With ρ = 0
    it is Clopper and Pearson's upper end for 0 of n answers; with ρ near 1, for 0 of as many answers as there are
    questions.

    Args:
        sizes: Number of answers of each question.
        rho: Intra-question correlation, 0 <= rho < 1.
        level: Confidence of the two-sided interval whose upper end this is.
    """
    tail = math.log((1 - level) / 2)
    total = sum(sizes)
    if total == 0:
        return 1.0
    if rho <= 0:
        return 1 - math.exp(tail / total)
    return _bound(tuple(sorted(Counter(size for size in sizes if size).items())), rho, tail)


@lru_cache(256)
def _bound(counted: tuple[tuple[int, int], ...], rho: float, tail: float) -> float:
    """Where the log-probability of no hit, which falls with the rate, comes down to `tail`; by halving."""
    low, high = 0.0, 1.0
    while high - low > 1e-13:
        middle = (low + high) / 2
        if sum(times * _log_none(middle, rho, size) for size, times in counted) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def correlation(questions: Sequence[Cell]) -> float | None:
    """How alike answers to one question are: the ANOVA estimate of the intra-question correlation, 0 at least.

    (B − W) / (B + (m₀ − 1) W), B and W the mean squares between (within a format) and within questions, and m₀ the mean
    number of answers, (N − Σ n²/N)/(G − 1) with one format. None when it cannot be told: fewer than two questions of a
    format, no question with two answers, or all answers alike.
    """
    used = [cell for cell in questions if cell.n]
    strata = [[cell for cell in used if cell.format == form] for form in sorted({cell.format for cell in used})]
    total, freedom = sum(cell.n for cell in used), len(used) - len(strata)
    if freedom < 1 or total == len(used):
        return None
    between, size = 0.0, float(total)
    for stratum in strata:
        n = sum(cell.n for cell in stratum)
        mean = sum(cell.hits for cell in stratum) / n
        between += sum(cell.n * (cell.hits / cell.n - mean) ** 2 for cell in stratum) / freedom
        size -= sum(cell.n**2 for cell in stratum) / n
    within = sum(cell.hits * (1 - cell.hits / cell.n) for cell in used) / (total - len(used))
    below = between + (size / freedom - 1) * within
    return max(0.0, (between - within) / below) if below > 0 else None


def question_weights(groups: Sequence[str], settings: Settings) -> NDArray[Any]:
    """How often each question stands in each resample, (resamples, questions); drawn within its group (its format)."""
    return _weights(tuple(groups), settings.seed, settings.resamples)


@lru_cache(4)
def _weights(groups: tuple[str, ...], seed: int, resamples: int) -> NDArray[Any]:
    # The same for every arm and denominator of a run: drawing them is most of what an interval costs.
    import numpy as np

    random = np.random.default_rng(seed)
    weights = np.empty((resamples, len(groups)))
    for group in sorted(set(groups)):
        places = [i for i, g in enumerate(groups) if g == group]
        weights[:, places] = random.multinomial(len(places), [1 / len(places)] * len(places), size=resamples)
    weights.flags.writeable = False
    return weights


def expanded_percentiles(draws: NDArray[Any], groups: Sequence[str], level: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws, its tails moved outwards for the small number of questions.

    Plain percentiles of a mean of G clusters are too narrow by sqrt((G−S)/G) and use the normal's tails; the tail
    Φ(−sqrt(G/(G−S)) t_{G−S}) mends both (Hesterberg 2015, arXiv 1411.5279, section 3.3, extended to S strata).
    """
    import numpy as np
    from scipy import special

    size, strata = len(groups), len(set(groups))
    freedom = size - strata
    if freedom < 1:
        raise MisdirectionError("a bootstrap over questions needs two questions of one format", "use wilson()")
    t = -float(special.stdtrit(freedom, (1 - level) / 2))
    tail = float(special.ndtr(-math.sqrt(size / freedom) * t))
    # The nearest draw, not a mean of two: a quotient may be infinite.
    low, high = np.quantile(draws[~np.isnan(draws)], [tail, 1 - tail], method="nearest")
    return float(low), float(high)


def clustered(questions: Sequence[Cell], settings: Settings) -> tuple[float, float, str]:
    """Interval of the pooled rate over questions, and the name of the method.

    One question: Wilson. Several: bootstrap over questions, stratified by format, never narrower than Wilson's interval
    on the effective sample n / (1 + (m−1) ρ̂), which mends the bootstrap where the rate is small and the questions few;
    and never claiming more certainty than the same number of answers with no hit at all (or nothing but hits) would
    give under `settings.rho`, which keeps a rate of 0 of n from an interval without width.

    Args:
        questions: Counts of each question; those with n = 0 are left out.
        settings: Level, seed, resamples and rho.

    Returns:
        Lower and upper end in 0 .. 1, and the method in words.
    """
    counts = tuple((cell.format, cell.hits, cell.n) for cell in questions if cell.n)
    return _clustered(counts, settings.seed, settings.resamples, settings.level, settings.rho)


@lru_cache(1024)
def _clustered(
    counts: tuple[tuple[str, int, int], ...], seed: int, resamples: int, level: float, rho: float
) -> tuple[float, float, str]:
    # A report asks for the interval of the same counts in its verdict, its tables and its curves.
    settings = Settings(seed=seed, resamples=resamples, level=level, rho=rho)
    used = [Cell("", *count) for count in counts]
    hits, n = sum(cell.hits for cell in used), sum(cell.n for cell in used)
    if len(used) < 2:
        return *wilson(hits, n, settings.level), "Wilson within one question"
    bound = none_seen_bound([cell.n for cell in used], settings.rho, settings.level)
    note = f"beta-binomial bound of unanimous answers (intra-question correlation {settings.rho:g})"
    if hits in (0, n):
        return *((0.0, bound) if hits == 0 else (1 - bound, 1.0)), f"{note} to {len(used)} questions"
    low, high, method = _over_questions(used, [cell.format for cell in used], settings)
    if high < bound or low > 1 - bound:
        low, high, method = min(low, 1 - bound), max(high, bound), f"{method}, at least the {note}"
    return low, high, method


def normal_quantile(p: float) -> float:
    """The standard normal's quantile."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def _over_questions(used: Sequence[Cell], groups: Sequence[str], settings: Settings) -> tuple[float, float, str]:
    import numpy as np

    hits, n = np.array([cell.hits for cell in used], float), np.array([cell.n for cell in used], float)
    alone = len(set(groups)) == len(groups)
    rho = settings.rho if alone else correlation(used) or 0.0
    effective = float(n.sum()) / (1 + (float((n**2).sum() / n.sum()) - 1) * rho)
    least = wilson(float(hits.sum() / n.sum()) * effective, effective, settings.level)
    note = f"Wilson's on an effective sample of {effective:.0f} (intra-question correlation {rho:.2g})"
    if alone:
        return *least, note
    weights = question_weights(groups, settings)
    low, high = expanded_percentiles((weights @ hits) / (weights @ n), groups, settings.level)
    strata = ", stratified by format" if len(set(groups)) > 1 else ""
    method = f"cluster bootstrap over {len(used)} questions ({settings.resamples} resamples{strata})"
    if least[0] < low or least[1] > high:
        method += f", at least {note}"
    return min(low, least[0]), max(high, least[1]), method


def _log_none(p: float, rho: float, size: int) -> float:
    """Log probability that a question of `size` beta-binomial answers shows no hit."""
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    return math.lgamma(b + size) - math.lgamma(b) + math.lgamma(a + b) - math.lgamma(a + b + size)
