"""A test that may be looked at again and again: its chance of ever crying wolf is what was said.

At look j the observations are e_1 ... e_n (one a prompt, a row of directions each) whose means are 0 or less if all is
well. The statistic of a direction is t = sum(e) / sqrt(sum(e^2)), that of the look the greatest over the directions.
Under the null hypothesis, at its border, each prompt's row is as likely as its opposite, so that flipping the signs of
whole rows gives statistics that were as likely as the one seen; p is the share of flips that reach it (the maximum over
directions under common flips: Westfall and Young 1993, section 2.3, so the directions together err no more often than
one). Looks at one model in training hang together in ways nobody knows. So the error is spent (Lan and DeMets 1983,
Biometrika 70:659), each look getting

    alpha / J of J looks that are planned, or alpha / (j (j + 1)) where their number is not known,

and the alarm is raised where p is no greater than that. The shares sum to alpha at most, so by the union bound the
chance that any look raises it is alpha at most, however the looks depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

EXACT = 13
"""Up to this many prompts every one of the 2^n flips is counted."""

FLIPS = 9_999
"""Random flips above that, at least; more where a look's share of the error is small."""

FINER = 20
"""How many times as fine as a look's share random flips resolve p."""


@dataclass(frozen=True)
class Look:
    """What one look gave.

    Attributes:
        number: From 1.
        p: Of all directions together.
        level: What p is held against.
        alarm: Whether it is no greater.
        statistics: t of each direction, shape (directions,).
    """

    number: int
    p: float
    level: float
    alarm: bool
    statistics: NDArray[np.float64]


@dataclass
class Sequential:
    """The looks at one course of events.

    Attributes:
        alpha: Chance that any look raises the alarm, if all is well.
        looks: How many there will be, None where that is not known.
        seed: Of random flips, the same at every look.
        done: Looks that were taken.
    """

    alpha: float = 0.05
    looks: int | None = None
    seed: int = 0
    done: int = 0
    _flips: NDArray[np.float32] | None = field(default=None, repr=False)

    def level(self, number: int) -> float:
        """The share of the error that a look has, by its number from 1; 0 behind the last that was planned."""
        if self.looks is None:
            return self.alpha / (number * (number + 1))
        return self.alpha / self.looks if number <= self.looks else 0.0

    def least_prompts(self) -> int:
        """Fewest prompts with which the first look, and any of a planned number, could raise the alarm."""
        return math.ceil(math.log2(1 / self.level(1)) - 1e-12)

    def look(self, excess: NDArray[np.float64]) -> Look:
        """One more look.

        Args:
            excess: Shape (prompts, directions); more is worse, 0 or less on average if all is well.
        """
        self.done += 1
        level = self.level(self.done)
        statistics = statistics_of(excess)
        p = self._p(excess, float(statistics.max()), level)
        return Look(self.done, p, level, p <= level, statistics)

    def _p(self, excess: NDArray[np.float64], seen: float, level: float) -> float:
        scaled = _scaled(excess)
        signs, exact = self._signs(len(excess), level)
        reached = (signs @ scaled).max(axis=1) >= seen - 1e-9
        return float(reached.mean()) if exact else float((1 + reached.sum()) / (1 + len(reached)))

    def _signs(self, n: int, level: float) -> tuple[NDArray[np.float32], bool]:
        """Signs of all flips, shape (flips, prompts), and whether they are all that there are."""
        if n <= EXACT:
            bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
            return (1 - 2 * bits).astype(np.float32), True
        wanted = min(max(FLIPS, math.ceil(FINER / max(level, 1e-9))), 400_000)
        if self._flips is None or self._flips.shape[1] != n or len(self._flips) < wanted:
            drawn = np.random.default_rng(self.seed).integers(0, 2, size=(wanted, n), dtype=np.int8)
            self._flips = (1 - 2 * drawn).astype(np.float32)
        return self._flips, False


def _scaled(excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Observations divided by what no flip changes; a direction along which nothing moved stays 0."""
    size = np.sqrt((excess**2).sum(axis=0))
    return np.divide(excess, size, out=np.zeros_like(excess), where=size > 0)


def statistics_of(excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each direction's t, shape (directions,), of excesses of shape (prompts, directions)."""
    return _scaled(excess).sum(axis=0)
