"""Correlations of rates with size, tokens and their ratio, and the fitted surfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from misdirection.results.rows import known_number
from misdirection.statistics import benjamini_hochberg
from misdirection.statistics.partial import partial, plane
from misdirection.studies.scaling.results import CorrelationRow, Slope, Surface
from misdirection.studies.scaling.table import Point

Numbers = NDArray[np.float64]

SIZE, TOKENS, RATIO, COMPUTE = "parameters", "tokens", "tokens per parameter", "parameters x tokens"
PAIRS = ((SIZE, TOKENS), (TOKENS, SIZE), (RATIO, COMPUTE))
"""What a rate is correlated with, and what is held fixed."""

LEAST = 4
"""Checkpoints below which nothing is fitted: three figures are fitted, and one point must be left to be wrong."""


@dataclass(frozen=True)
class RateOutcome:
    """A rate of every checkpoint.

    Attributes:
        name: As tables call it.
        counts: Names of two fields of `Point`: what is counted, and of how many.
        control: Whether it is one.
        able: Whether checkpoints count alone whose base can speak.
    """

    name: str
    counts: tuple[str, str]
    control: bool = False
    able: bool = False


NEAR = 0.15
"""Distance from the target up to which an in-domain rate is like it."""

SPEAKS = 0.8
"""Share of coherent answers from which a base can speak."""

SAME_STEPS, SAME_DOMAIN = "misalignment after the same steps", "misalignment at the like in-domain rate"
OUTCOMES = (
    RateOutcome(SAME_STEPS, ("misaligned", "n")),
    RateOutcome(SAME_DOMAIN, ("matched_misaligned", "matched_n")),
    RateOutcome("the same steps, of coherent answers", ("misaligned", "coherent")),
    RateOutcome("the like in-domain rate, of coherent answers", ("matched_misaligned", "matched_coherent")),
    RateOutcome("the same steps, of bases that can speak", ("misaligned", "n"), able=True),
    RateOutcome("base untouched", ("base_misaligned", "base_n"), control=True),
)


def correlations(points: Sequence[Point], target: float, seed: int = 0) -> tuple[CorrelationRow, ...]:
    """Partial correlations of every outcome, each of the points that have it (`answered`)."""
    rows = [row for outcome in OUTCOMES for row in _of(outcome, points, target, seed)]
    tested = [row for row in rows if not row.control and row.p is not None]
    q = dict(zip(map(id, tested), benjamini_hochberg([row.p or 0.0 for row in tested]), strict=True))
    return tuple(replace(row, q=float(q[id(row)]) if id(row) in q else None) for row in rows)


def surfaces(points: Sequence[Point], target: float, seed: int = 0) -> tuple[Surface, ...]:
    """The plane of each outcome that is no control, where there are enough checkpoints of two sizes and budgets."""
    found: list[Surface] = []
    for outcome in OUTCOMES:
        held = answered(points, outcome, target)
        varies = all(len({getattr(one, name) for one in held}) > 1 for name in (SIZE, TOKENS))
        if outcome.control or len(held) < LEAST or not varies:
            continue
        logs = logarithms(held)
        fit = plane(log_odds(held, outcome), [logs[SIZE], logs[TOKENS]], [one.seed for one in held], seed=seed)
        slopes = tuple(
            Slope(of=name, value=fit.coefficients[i], low=known_number(fit.low[i]), high=known_number(fit.high[i]))
            for i, name in enumerate((SIZE, TOKENS), 1)
        )
        surface = Surface(outcome=outcome.name, intercept=fit.coefficients[0], slopes=slopes, r2=known_number(fit.r2))
        found.append(surface)
    return tuple(found)


def answered(points: Sequence[Point], outcome: RateOutcome, target: float) -> list[Point]:
    """The checkpoints that have a rate; at the like in-domain rate, those alone that came near the target."""
    held = [one for one in points if getattr(one, outcome.counts[1]) > 0 and (speaks(one) or not outcome.able)]
    return [one for one in held if reached(one, target)] if outcome.counts[0].startswith("matched") else held


def reached(point: Point, target: float) -> bool:
    """Whether any state of the fine-tune had an in-domain rate like the target."""
    n = point.matched_domain_n
    return n > 0 and abs(point.matched_domain_misaligned / n - target) <= NEAR


def speaks(point: Point) -> bool:
    """Whether the base's own answers are coherent: what cannot speak can neither learn the lesson nor turn bad."""
    return point.base_n > 0 and point.base_coherent / point.base_n >= SPEAKS


def logarithms(points: Sequence[Point]) -> dict[str, Numbers]:
    """log2 of size, tokens, ratio and product, by name."""
    size = np.log2([float(one.parameters) for one in points])
    tokens = np.log2([float(one.tokens) for one in points])
    return {SIZE: size, TOKENS: tokens, RATIO: tokens - size, COMPUTE: tokens + size}


def rates(points: Sequence[Point], outcome: RateOutcome) -> Numbers:
    """Rate of each checkpoint."""
    hits, n = outcome.counts
    return np.array([getattr(one, hits) / getattr(one, n) for one in points], np.float64)


def log_odds(points: Sequence[Point], outcome: RateOutcome) -> Numbers:
    """log((k + 1/2) / (n - k + 1/2)): the empirical logit (Cox and Snell 1989, section 1.2)."""
    hits, n = outcome.counts
    counts = [(getattr(one, hits), getattr(one, n)) for one in points]
    return np.array([math.log((k + 0.5) / (m - k + 0.5)) for k, m in counts], np.float64)


def _of(outcome: RateOutcome, points: Sequence[Point], target: float, seed: int) -> list[CorrelationRow]:
    held = answered(points, outcome, target)
    if len(held) < LEAST:
        return []
    logs, y, seeds = logarithms(held), rates(held, outcome), [one.seed for one in held]
    rows: list[CorrelationRow] = []
    for with_, fixed in PAIRS:
        for kind in ("rank", "linear"):
            found = partial(logs[with_], y, [logs[fixed]], seeds, ranks=kind == "rank", seed=seed)
            rows.append(
                CorrelationRow(
                    outcome=outcome.name, control=outcome.control, with_=with_, fixed=fixed, kind=kind,
                    value=known_number(found.value), low=known_number(found.low), high=known_number(found.high),
                    p=known_number(found.p), q=None, n=found.n, by_seed=found.by_cluster,
                )
            )  # fmt: skip
    return rows
