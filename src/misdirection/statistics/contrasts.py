"""Does a condition change a rate, and more so in a tuned model than in its base? Differences in differences over units.

A unit is what stands in each cell: a question asked under every condition, or a role in a table of counts. With the
rate r of a cell, a unit's contribution for a condition c against a reference r0 is

    e = (r_tuned,c - r_base,c) - (r_tuned,r0 - r_base,r0),

or without a base e = r_tuned,c - r_tuned,r0. The value is the mean of e over units, each counting once; test and
interval are the sign-flip test over units and its inversion (`flips`). After the conditional audits of 2512.09742 and
2604.25891, where means over prompts or roles are bootstrapped; that interval is given too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from misdirection.errors import MisdirectionError
from misdirection.statistics.flips import flip

Counts = tuple[int, int]
"""Misaligned answers, and all answers, of a cell."""

DRAWS = 10_000
"""Bootstrap samples of the units."""


@dataclass(frozen=True)
class Contrast:
    """How much more a condition misaligns than its reference does.

    Attributes:
        value: Mean over units, -2 .. 2 with a base and -1 .. 1 without.
        low: Lower end of the interval that belongs to p.
        high: Upper end.
        p: Two-sided sign-flip test over units.
        boot_low: 2.5th percentile of the mean over bootstrap samples of units.
        boot_high: 97.5th percentile.
        sign_p: Two-sided sign test over units that are not 0.
        n_units: Units in all four (two) cells.
        left_out: Units that lack a cell.
        method: How p and interval were made.
    """

    value: float
    low: float
    high: float
    p: float
    boot_low: float
    boot_high: float
    sign_p: float
    n_units: int
    left_out: int
    method: str


def contrast(
    condition: Mapping[str, Counts],
    reference: Mapping[str, Counts],
    base: tuple[Mapping[str, Counts], Mapping[str, Counts]] | None = None,
    seed: int = 0,
) -> Contrast:
    """The mean contrast over units.

    Args:
        condition: Counts by unit, of the tuned model under the condition.
        reference: The same under the reference.
        base: Both of the base model; None for a plain difference.
        seed: Of bootstrap and random flips.

    Raises:
        MisdirectionError: No unit stands in every cell.
    """
    cells = (condition, reference, *(base or ()))
    shared = sorted(set.intersection(*(set(_answered(cell)) for cell in cells)))
    every = set().union(*cells)
    if not shared:
        raise MisdirectionError("no question or role stands under both conditions", "ask the same under each")
    values = [_contribution([_rate(cell[unit]) for cell in cells]) for unit in shared]
    found = flip(values, [1.0] * len(values), seed=seed)
    low, high = bootstrap(values, seed)
    mean = sum(values) / len(values)
    return Contrast(
        mean, found.low, found.high, found.p, low, high, sign_test(values), len(shared), len(every) - len(shared),
        found.method.replace("questions", "units"),
    )  # fmt: skip


def _answered(cell: Mapping[str, Counts]) -> list[str]:
    return [unit for unit, (_, n) in cell.items() if n]


def _rate(counts: Counts) -> float:
    return counts[0] / counts[1]


def _contribution(rates: Sequence[float]) -> float:
    change = rates[0] - rates[1]
    return change - (rates[2] - rates[3]) if len(rates) > 2 else change


def bootstrap(values: Sequence[float], seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the mean over samples of the values with replacement."""
    import numpy as np

    held = np.asarray(values, float)
    chosen = np.random.default_rng(seed).integers(0, len(held), (draws, len(held)))
    low, high = np.quantile(held[chosen].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def sign_test(values: Sequence[float]) -> float:
    """Exact two-sided sign test of the values that are not 0; 1 where there are none."""
    from scipy.stats import binomtest

    up, down = sum(value > 0 for value in values), sum(value < 0 for value in values)
    return float(binomtest(up, up + down, 0.5).pvalue) if up + down else 1.0
