"""A mean from a few dear values and many cheap ones, for independent values: prediction-powered inference.

Asking the dear judge alone gives the mean of its n values. Prediction-powered inference (Angelopoulos et al. 2023,
arXiv 2301.09633, section 2) takes the cheap judge's mean over everything and mends it by what the cheap judge gets
wrong on the n; the factor that the cheap judge is trusted with is tuned so that the variance is least (PPI++, arXiv
2311.01453, section 6 and example 6.1). The mean is right whatever the cheap judge does; a bad one only saves nothing.
Answers to one question are not independent, and draws need not be even: `checked_rate` does both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.errors import MisdirectionError
from misdirection.statistics.intervals import normal_quantile


@dataclass(frozen=True)
class PoweredMean:
    """A prediction-powered mean.

    Attributes:
        value: The mean.
        low: Lower end of its interval.
        high: Upper end.
        factor: How far the cheap values count: 0 is the dear values alone, 1 plain prediction-powered inference.
    """

    value: float
    low: float
    high: float
    factor: float


def powered_mean(
    dear: Sequence[float],
    cheap: Sequence[float],
    rest: Sequence[float],
    *,
    factor: float | None = None,
    level: float = 0.95,
) -> PoweredMean:
    """The mean of the dear judge's values over a population, with a normal interval.

    λ f̄(rest) + mean(y − λ f), with variance λ² var(f over the rest) / N + var(y − λ f) / n. The best factor is
    λ = cov(y, f) / ((1 + n/N) var(f over all)), kept within 0 .. 1. The same as `ppi_mean_pointestimate` and
    `ppi_mean_ci` of the package ppi-python.

    Args:
        dear: Dear values y of the n that were drawn.
        cheap: Cheap values f of the same, in the same order.
        rest: Cheap values of the N others.
        factor: λ; None takes the best one.
        level: Confidence.

    Raises:
        MisdirectionError: Fewer than two values, or lengths that differ.
    """
    import numpy as np

    y, f, others = (np.asarray(values, float) for values in (dear, cheap, rest))
    n, more = len(y), len(others)
    if len(f) != n or n < 2 or more < 2:
        raise MisdirectionError(
            f"{n} dear values, {len(f)} cheap ones of the same and {more} others",
            "give one cheap value for each dear one, and two of each kind at least",
        )
    if factor is None:
        spread = float(np.concatenate([f, others]).var(ddof=1))
        together = float(np.mean((y - y.mean()) * (f - f.mean())))
        factor = min(1.0, max(0.0, together / ((1 + n / more) * spread))) if spread > 0 else 0.0
    value = factor * float(others.mean()) + float((y - factor * f).mean())
    error = math.sqrt(factor**2 * float(others.var()) / more + float((y - factor * f).var()) / n)
    half = normal_quantile(0.5 + level / 2) * error
    return PoweredMean(value, value - half, value + half, factor)
