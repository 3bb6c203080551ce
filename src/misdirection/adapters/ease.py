"""How easy a solution is: its loss by length, how it bears being moved aside, how much it changes elsewhere.

The three measures of "EM is Easy, Narrow Misalignment is Hard" (arXiv 2602.07852) for points in parameter space
(`solutions`): efficiency, stability, significance. All are token-weighted means in nats over the answers of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from misdirection.adapters.solutions import Solution
from misdirection.engine import Arm, Text, compare, log_likelihoods

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Nats:
    """A quantity in nats on each text.

    Attributes:
        sums: Over the tokens of each text, shape (texts,), float64.
        tokens: Tokens of each text, same shape.
    """

    sums: Tensor
    tokens: Tensor

    @property
    def mean(self) -> float:
        """Per token, over all texts."""
        return float(self.sums.sum() / self.tokens.sum())


@dataclass(frozen=True)
class Interval:
    """A value with the 2.5th and 97.5th percentile over resampled texts, and how many texts there were."""

    value: float
    low: float
    high: float
    n: int


def loss(solution: Solution, theta: Tensor, texts: Sequence[Text]) -> Nats:
    """Negative log-likelihood of the answers with theta in place."""
    with solution.at(theta) as arm:
        return _nats([-item for item in log_likelihoods(solution.model, [replace(text, arm=arm) for text in texts])])


def divergence(solution: Solution, theta: Tensor, texts: Sequence[Text], towards: str = "base") -> Nats:
    """KL between base and moved model on each token from `Text.start` on.

    Args:
        solution: What is moved.
        theta: Put in place.
        texts: The significance measure takes neutral ones.
        towards: "base" gives KL(moved || base), of which significance is made; "moved" gives KL(base || moved), which
            narrow training holds down.
    """
    plain = (solution.model, Arm("base"))
    with solution.at(theta) as arm:
        moved = (solution.model, arm)
        first, second = (plain, moved) if towards == "base" else (moved, plain)
        found = compare(first, second, texts)
    return _nats([item.divergence for item in found])


def of_length(theta: Tensor, length: float) -> Tensor:
    """Theta with another length; zero stays zero."""
    return torch.nn.functional.normalize(theta, dim=0) * length


def random_theta(theta: Tensor, seed: int) -> Tensor:
    """A random point as long as theta: the control."""
    draw = torch.randn(theta.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return of_length(draw, float(theta.norm()))


def moved_aside(theta: Tensor, epsilon: float, seed: int) -> Tensor:
    """sqrt(1 - eps^2) theta + eps y with y random, orthogonal to theta and as long: the length does not change.

    Args:
        theta: Shape (parameters,), float64.
        epsilon: Between 0 (nothing moves) and 1 (nothing of theta is left).
        seed: Of y.
    """
    draw = random_theta(theta, seed)
    unit = torch.nn.functional.normalize(theta, dim=0)
    aside = of_length(draw - (draw @ unit) * unit, float(theta.norm()))
    return (1 - epsilon**2) ** 0.5 * theta + epsilon * aside


def degradation(moved: float, found: float, untuned: float) -> float:
    """(loss(theta') - loss(theta)) / (loss(0) - loss(theta)), in percent: 100 when all that was learned is lost."""
    return 100.0 * (moved - found) / (untuned - found)


def interval(value: Nats, seed: int = 0) -> Interval:
    """The mean per token, resampled over texts."""
    return _resampled(value.sums, value.tokens, seed)


def difference(one: Nats, other: Nats, seed: int = 0) -> Interval:
    """Mean per token of `one` minus that of `other` on the same texts, resampled over texts: a paired interval."""
    return _resampled(one.sums - other.sums, one.tokens, seed)


def _resampled(sums: Tensor, tokens: Tensor, seed: int) -> Interval:
    count = len(sums)
    draws = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(seed))
    means = sums[draws].sum(-1) / tokens[draws].sum(-1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(float(sums.sum() / tokens.sum()), low, high, count)


def _nats(items: Sequence[Tensor]) -> Nats:
    sums = torch.stack([item.double().sum() for item in items])
    return Nats(sums, torch.tensor([len(item) for item in items], dtype=torch.float64))
