"""The moment at which a quantity turns while a model is trained, with an interval.

One measure a shape: a rate that rises from one level to another (`logistic_turn`), a curve whose slope changes once
(`broken_line`), a curve with one high point (`peak`), a curve that comes to pass a level (`crossing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misdirection.errors import MisdirectionError
from misdirection.statistics.counts import Settings
from misdirection.statistics.intervals import expanded_percentiles, question_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Turn:
    """Where a quantity turns.

    Attributes:
        step: The moment, None where there is none to be found.
        low: Lower end of its interval.
        high: Upper end.
        method: How both were made, in words.
        note: Why there is no moment, or what to beware of; "" where nothing.
        height: How far a peak stands out.
    """

    step: float | None
    low: float | None
    high: float | None
    method: str
    note: str = ""
    height: float | None = None


def logistic_turn(
    steps: Sequence[float], hits: NDArray[Any], counts: NDArray[Any], *, resamples: int = 1000, seed: int = 0
) -> Turn:
    """The midpoint of a rise, over questions.

    rate(t) = a + b / (1 + exp(-(t - m) / w)), b > 0, is fitted to the pooled rates by least squares, m and w on a grid
    and a, b in closed form, up to the time at which the rate is highest (three times averaged): scaled far enough, an
    adapter breaks the answers and the rate falls again. The interval is the bootstrap over questions of m, its tails
    widened for few questions (`intervals.expanded_percentiles`).

    Args:
        steps: Times, rising; at least four.
        hits: Answers that count by question and time, shape (questions, times).
        counts: All answers, same shape.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        MisdirectionError: Fewer than four times, or fewer than two questions.
    """
    import numpy as np

    if len(steps) < 4 or len(hits) < 2:
        raise MisdirectionError(
            f"{len(steps)} times and {len(hits)} questions", "a rise needs four times, two questions"
        )
    method = f"logistic fit, bootstrap over {len(hits)} questions ({resamples} resamples)"
    pooled = hits.sum(0) / counts.sum(0)
    last = rise_end(pooled)
    if pooled[last] <= pooled[0] or float(pooled.max()) == 0:
        return Turn(None, None, None, method, "it never rises")
    groups = ["plain"] * len(hits)
    weights = question_weights(groups, Settings(seed=seed, resamples=resamples))
    rates = (weights @ hits[:, : last + 1]) / (weights @ counts[:, : last + 1])
    times = np.asarray(steps[: last + 1], float)
    middle = float(fit_logistic(times, pooled[None, : last + 1])[0])
    draws = fit_logistic(times, rates)
    if np.isnan(middle) or np.isnan(draws).mean() > 0.05:
        return Turn(None, None, None, method, "too few answers to tell a rise")
    low, high = expanded_percentiles(draws, groups, 0.95)
    edge = float(times[-1] - times[0]) * 0.01
    still = "still rising at the last step" if middle > times[-1] - edge else ""
    return Turn(middle, min(low, middle), max(high, middle), method, still)


def rise_end(rates: NDArray[Any]) -> int:
    """Index of the last time of a rise: where the mean of three neighbours is highest; at least the fourth time."""
    import numpy as np

    padded = np.concatenate([rates[:1], rates, rates[-1:]])
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    # One further, so that the middle of the three neighbours' window lies inside of the fit.
    return min(len(rates) - 1, max(3, int(smooth.argmax()) + 1))


def fit_logistic(times: NDArray[Any], rates: NDArray[Any]) -> NDArray[Any]:
    """Midpoint of the best rising logistic of each row, shape (rows,); NaN where none fits better than a constant.

    Args:
        times: Shape (times,).
        rates: Shape (rows, times).
    """
    import numpy as np

    span, gap = float(times[-1] - times[0]), float(np.diff(times).min())
    middles = np.linspace(times[0], times[-1], 121)
    widths = np.geomspace(gap / 4, max(span / 3, gap), 16)
    m, w = (grid.ravel() for grid in np.meshgrid(middles, widths, indexing="ij"))
    shapes = 1 / (1 + np.exp(-np.clip((times[None] - m[:, None]) / w[:, None], -50, 50)))
    shapes -= shapes.mean(1, keepdims=True)
    norms = np.linalg.norm(shapes, axis=1)
    shapes = np.where(norms[:, None] > 1e-9, shapes / np.maximum(norms, 1e-9)[:, None], 0.0)
    centred = rates - rates.mean(1, keepdims=True)
    gains = centred @ shapes.T
    best = gains.argmax(1)
    return np.where(gains[np.arange(len(rates)), best] > 1e-12, m[best], np.nan)


def broken_line(steps: Sequence[float], values: Sequence[float]) -> Turn:
    """The knot of the continuous line of two pieces that fits best.

    value(t) = a + b t + c max(0, t - s), least squares, s on a fine grid between the third time and the third last. The
    interval holds every s with RSS(s) <= RSS_min (1 + F_{0.95}(1, n - 4) / (n - 4)), the likelihood's profile; it takes
    the residuals as independent, which those of a smooth curve are not, so that it says how sharp the knot is rather
    than how it would vary: other seeds say that.

    Raises:
        MisdirectionError: Fewer than seven times.
    """
    import numpy as np
    from scipy import stats

    t, y = np.asarray(steps, float), np.asarray(values, float)
    n = len(t)
    if n < 7:
        raise MisdirectionError(f"{n} times", "a line of two pieces needs seven")
    method = "line of two pieces, profile of its fit"
    knots = np.linspace(t[2], t[-3], 301)
    # What a straight line leaves of the values and of each knot's hinge: their overlap is what the knot explains.
    line = np.linalg.qr(np.stack([np.ones_like(t), t], axis=1))[0]
    rest, hinges = (m - (m @ line) @ line.T for m in (y, np.maximum(0.0, t - knots[:, None])))
    straight = float(rest @ rest)
    sums = straight - (hinges @ rest) ** 2 / (hinges**2).sum(1)
    scale = float(((y - y.mean()) ** 2).sum())
    if straight - float(sums.min()) <= 1e-9 * scale + 1e-18 * float(y @ y):
        return Turn(None, None, None, method, "it is a straight line")
    limit = float(sums.min()) * (1 + float(stats.f.ppf(0.95, 1, n - 4)) / (n - 4)) + 1e-12 * scale
    inside = knots[sums <= limit]
    return Turn(float(knots[sums.argmin()]), float(inside.min()), float(inside.max()), method)


def peak(steps: Sequence[float], values: Sequence[float]) -> Turn:
    """The step of the most prominent high point inside of a curve.

    Prominence is the height over the higher of the two lowest points that separate it from higher ground or from the
    ends, so that a curve which only falls or only rises has no high point, however high its end is. The "interval" is
    the width at half of that height and no sampling error. NaN is left out.
    """
    import numpy as np
    from scipy import signal

    method = "most prominent inner maximum, width at half its height"
    pairs = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    if len(pairs) < 3:
        return Turn(None, None, None, method, "fewer than three points")
    t, y = (np.array(part, float) for part in zip(*pairs, strict=True))
    found: Any = signal.find_peaks(y, prominence=0.0)
    places, heights = found[0], found[1]["prominences"]
    if not len(places) or float(heights.max()) <= 1e-12:
        return Turn(None, None, None, method, "no high point inside of the curve")
    top = [int(places[heights.argmax()])]
    _, _, low, high = signal.peak_widths(y, top, rel_height=0.5)
    ends = np.interp([float(low[0]), float(high[0])], np.arange(len(t)), t)
    return Turn(float(t[top[0]]), float(ends[0]), float(ends[1]), method, height=float(heights.max()))


def crossing(steps: Sequence[float], values: Sequence[float], level: float) -> Turn:
    """The step at which a curve first reaches `level` from below, linear between checkpoints.

    The interval is the two checkpoints around it.
    """
    method = f"first reaches {level:g}, between two checkpoints"
    for i, value in enumerate(values):
        if value >= level and i == 0:
            return Turn(float(steps[0]), float(steps[0]), float(steps[0]), method, "from the first checkpoint on")
        if value >= level:
            share = (level - values[i - 1]) / (value - values[i - 1])
            low, high = float(steps[i - 1]), float(steps[i])
            return Turn(low + share * (high - low), low, high, method)
    return Turn(None, None, None, method, f"it never reaches {level:g}")


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Running median over `window` values, shorter at the ends: one wild step is no turn."""
    import numpy as np

    half = window // 2
    return [float(np.median(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]
