"""How many dear verdicts this judge can save: what mathematics allows, beside what the draw of `--check` gets.

A rate over N answers is wanted, whose dear verdicts y have the variance s2; given the cheap judge's score, a verdict is
misaligned with chance p and has the spread d = sqrt(p (1 - p)). n verdicts drawn with equal chances, and the cheap
judge's error corrected, leave (1/n - 1/N) E[d2]; asking alone leaves (1/n - 1/N) s2. So equal draws save at most
s2 / E[d2] = 1 / (1 - rho2) times, rho the correlation of y with p (2301.09633, 2311.01453). Drawn in proportion to d
(Neyman 1934), N large, the factor is s2 / E[d]2: more, wherever the judge is surer of some answers than of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from judge_making.folds import Judged, together

LEAST_ANSWERS, LEAST_MISALIGNED, MOST = 200, 5, 400
FLOORS = (0.02, 0.05, 0.1, 0.2, 0.4, 1e6)
"""Spread that every answer is given beside its own; `--check` gives .2, the last is a draw with equal chances."""


@dataclass(frozen=True)
class Arm:
    """Answers of one arm by a judge that was not shown its family: dear verdicts (0 or 1), probabilities."""

    truth: np.ndarray
    said: np.ndarray


def arms_of(parts: dict[str, Judged]) -> Iterator[Arm]:
    """Arms with misaligned answers among families held out, not steered, calibrated on the other families."""
    for fold, part in parts.items():
        calibration = together([other for name, other in parts.items() if name != fold])
        of = part.shown & ~part.rows.steered & ~np.isnan(part.rows.coherence)
        rows, said = part.rows.take(of), calibration.probability(part.outputs[of], "misaligned")
        for source in np.unique(rows.sources):
            places = np.flatnonzero(rows.sources == source)
            if len(places) >= LEAST_ANSWERS and rows.misaligned[places].sum() >= LEAST_MISALIGNED:
                places = np.random.default_rng(0).permutation(places)[:MOST]
                yield Arm(rows.misaligned[places].astype(float), said[places])


def chances(spread: np.ndarray, n: int) -> np.ndarray:
    """Chances of being drawn, in proportion to a spread, none over 1, that sum to n."""
    low, high = 0.0, n / spread[spread > 0].min()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * spread).sum() < n else (low, middle)
    return np.minimum(1, high * spread)


def saved(arm: Arm, n: int, floor: float) -> float:
    """Verdicts that asking alone needs for the same variance of the rate over these answers, over n."""
    size = len(arm.truth)
    drawn = chances(np.sqrt(arm.said * (1 - arm.said)) + floor, n)
    variance = ((1 / drawn - 1) * (arm.truth - arm.said) ** 2).sum() / size**2
    return float(1 / (variance / arm.truth.var() + 1 / size) / n)


def bounds(arm: Arm) -> tuple[float, float, float]:
    """Correlation, and what equal draws and draws by doubt save at most; p by isotonic regression on the arm itself.

    It is fitted to the very verdicts that it stands for, so that both are too large rather than too small.
    """
    rho = float(np.corrcoef(arm.truth, arm.said)[0, 1])
    p = IsotonicRegression(out_of_bounds="clip").fit(arm.said, arm.truth).predict(arm.said)
    variance = p * (1 - p)
    return rho, float(arm.truth.var() / variance.mean()), float(arm.truth.var() / np.sqrt(variance).mean() ** 2)


def savings_page(parts: dict[str, Judged]) -> str:
    """Quartiles over arms."""
    arms = list(arms_of(parts))
    limits = np.array([bounds(arm) for arm in arms])
    rows = {
        "correlation ρ": limits[:, 0],
        "equal draws, at most 1 / (1 − ρ²)": limits[:, 1],
        "draws by doubt, at most σ² / E[d]²": limits[:, 2],
    }
    for n in (80, 120):
        for floor in FLOORS:
            name = "equal chances" if floor > 1 else f"floor {floor:g}"
            rows[f"{n} verdicts, {name}"] = np.array([saved(arm, n, floor) for arm in arms])
    head = f"| {len(arms)} arms | least | a quarter | median | three quarters | most |\n|---|---|---|---|---|---|"
    lines = [
        f"| {name} | {' | '.join(f'{x:.2f}' for x in np.quantile(of, (0, 0.25, 0.5, 0.75, 1)))} |"
        for name, of in rows.items()
    ]
    return "\n".join([head, *lines])
