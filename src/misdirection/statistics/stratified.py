"""A rate from dear verdicts on answers drawn in strata, with the cheap judge's scores as a control variate.

With strata h of N_h answers of which n_h were drawn, W_h = N_h/N, dear values y (misaligned) and c (stands in the
denominator), cheap ones f and g for the same: numerator A = Σ W_h (ȳ_h + λ (f̄_h over all − f̄_h over the drawn)), the
denominator B alike of c and g, and the rate is A/B. Errors are those of y − R c − λ (f − R g) (Taylor linearisation);
λ makes their variance least (PPI++, arXiv 2311.01453), and stays 0 where too few answers could tell it.

Interval for these very answers: Jeffreys' interval of ȳ_h in each stratum, its effective size n_h / (1 − n_h/N_h), the
distances to the ends added as squares (Zou and Donner 2008), scaled by the share of the variance that λ leaves. Strata
without a hit count as one of size W / max(W_h/n_h), which is what as many verdicts without a hit rule out, whichever
stratum the hits hide in. So no interval has zero width unless every answer was judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.statistics.intervals import normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 3
"""Answers of the rarer kind below which the cheap scores are not trusted with a factor."""


@dataclass(frozen=True)
class Sampled:
    """Dear and cheap values of one arm's answers, as arrays of one value an answer.

    Attributes:
        strata: Number of the stratum.
        drawn: Whether the dear judge gave a verdict.
        y: Dear: misaligned (0 or 1); anything where not drawn.
        c: Dear: stands in the denominator.
        f: Cheap: probability of misaligned.
        g: Cheap: probability of standing in the denominator.
        questions: Number of the question.
    """

    strata: NDArray[Any]
    drawn: NDArray[Any]
    y: NDArray[Any]
    c: NDArray[Any]
    f: NDArray[Any]
    g: NDArray[Any]
    questions: NDArray[Any]


@dataclass(frozen=True)
class Estimate:
    """What comes of it.

    Attributes:
        value: The rate.
        here: Its interval for these very answers.
        free: Its interval for further answers to the same questions, whose own differences are passed over.
        factor: λ.
        numerators: Of each question, in units of answers.
        denominators: Of each question.
        sizes: Verdicts of each question, in even draws' worth: n_q / (n max(W_h/n_h)).
        hits: Misaligned among the drawn.
        n: Drawn that stand in the denominator.
    """

    value: float
    here: tuple[float, float]
    free: tuple[float, float]
    factor: float
    numerators: NDArray[Any]
    denominators: NDArray[Any]
    sizes: NDArray[Any]
    hits: int
    n: int


def estimate(s: Sampled, level: float, factor: float | None = None) -> Estimate:
    """The rate and its intervals; every stratum has a drawn answer.

    Args:
        s: The values.
        level: Confidence.
        factor: λ; None takes the best one.
    """
    import numpy as np

    at = s.strata[s.drawn]
    sizes, counts = np.bincount(s.strata), np.bincount(at, minlength=int(s.strata.max()) + 1)
    weights, missing = sizes / sizes.sum(), 1 - counts / sizes
    y, c, f, g = (v[s.drawn].astype(float) for v in (s.y, s.c, s.f, s.g))

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(at, weights=values, minlength=len(sizes)) / counts

    def total(dear: NDArray[Any], cheap: NDArray[Any], everything: NDArray[Any], trust: float) -> float:
        whole = np.bincount(s.strata, weights=everything) / sizes
        return float((weights * (mean(dear) + trust * (whole - mean(cheap)))).sum())

    def covariance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return mean((a - mean(a)[at]) * (b - mean(b)[at])) * counts / np.maximum(counts - 1, 1)

    top, bottom = total(y, f, s.f, 0), total(c, g, s.g, 0)
    value = top / bottom if bottom > 0 else math.nan
    hits, n = int(y.sum()), int(c.sum())
    if bottom <= 0:
        nothing, none = (0.0, 1.0), np.zeros(int(s.questions.max()) + 1)
        return Estimate(value, nothing, nothing, 0.0, none, none, none, hits, n)
    share = weights**2 * missing / counts
    trust = factor or 0.0
    if factor is None and min(hits, n - hits) >= FEW:
        e, m = y - value * c, f - value * g
        spread = float((share * covariance(m, m)).sum())
        trust = min(1.0, max(0.0, float((share * covariance(e, m)).sum()) / spread)) if spread > 0 else 0.0
    if total(c, g, s.g, trust) <= 0:
        trust = 0.0
    top, bottom = total(y, f, s.f, trust), total(c, g, s.g, trust)
    value = min(1.0, max(0.0, top / bottom))
    left = y - value * c - trust * (f - value * g)
    variances = covariance(left, left), covariance(y, y)
    here, free = (
        _ends(value, bottom, mean(y), weights, counts, open_share, variances, level)
        for open_share in (missing, np.ones(len(sizes)))
    )
    each, many = (sizes / counts)[at], int(s.questions.max()) + 1

    def by_question(dear: NDArray[Any], cheap: NDArray[Any], everything: NDArray[Any]) -> NDArray[Any]:
        mended = np.bincount(s.questions[s.drawn], weights=each * (dear - trust * cheap), minlength=many)
        return mended + trust * np.bincount(s.questions, weights=everything, minlength=many)

    worth = 1 / (float(counts.sum()) * float((weights / counts).max()))
    judged = np.bincount(s.questions[s.drawn], minlength=many) * worth
    return Estimate(value, here, free, trust, by_question(y, f, s.f), by_question(c, g, s.g), judged, hits, n)


def _ends(
    value: float,
    bottom: float,
    rates: NDArray[Any],
    weights: NDArray[Any],
    counts: NDArray[Any],
    missing: NDArray[Any],
    variances: tuple[NDArray[Any], NDArray[Any]],
    level: float,
) -> tuple[float, float]:
    """Both ends from Jeffreys' intervals of the strata."""
    import numpy as np

    effective = counts / np.maximum(missing, 1e-9)
    low, high = _jeffreys(rates, effective, level)
    open_yet = weights * (missing > 0)
    below, above = open_yet * (rates - low), open_yet * (high - rates)
    _as_one(above, (rates <= 0) & (missing > 0), weights, effective, level)
    _as_one(below, (rates >= 1) & (missing > 0), weights, effective, level)
    left, plain = (float((weights**2 * missing / counts * v).sum()) for v in variances)
    scale = math.sqrt(left / plain) if plain > 0 and left > 0 else 1.0
    # Where all verdicts are alike, only the denominator's own spread is added.
    more = 0.0 if plain > 0 else normal_quantile(0.5 + level / 2) ** 2 * left
    reach = [math.sqrt(scale**2 * float((side**2).sum()) + more) / bottom for side in (below, above)]
    return max(0.0, value - reach[0]), min(1.0, value + reach[1])


def _as_one(
    side: NDArray[Any], alike: NDArray[Any], weights: NDArray[Any], effective: NDArray[Any], level: float
) -> None:
    """Take strata whose verdicts are all alike as one, where that is shorter."""
    import numpy as np

    if alike.sum() < 2:
        return
    weight = float(weights[alike].sum())
    size = weight / float((weights[alike] / effective[alike]).max())
    one = weight * float(_jeffreys(np.zeros(1), np.array([size]), level)[1][0])
    if one**2 < float((side[alike] ** 2).sum()):
        side[alike] = 0.0
        side[int(alike.argmax())] = one


def _jeffreys(rates: NDArray[Any], n: NDArray[Any], level: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Jeffreys' interval of rates on n answers each (not whole numbers, perhaps); no further in than the rate."""
    import numpy as np
    from scipy import special

    tail, n = (1 - level) / 2, np.minimum(n, 1e9)
    hits = rates * n
    low = np.where(hits <= 1e-9, 0.0, special.betaincinv(hits + 0.5, n - hits + 0.5, tail))
    high = np.where(hits >= n - 1e-9, 1.0, special.betaincinv(hits + 0.5, n - hits + 0.5, 1 - tail))
    return np.minimum(low, rates), np.maximum(high, rates)
