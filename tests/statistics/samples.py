"""Answers and verdicts of given counts, for the tests of statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.judging import Answer, Verdict

Arm = tuple[list[Answer], list[Verdict]]
BAD, GOOD = Verdict(5.0, 90.0), Verdict(95.0, 90.0)


def arm(
    hits: Sequence[int], sizes: Sequence[int] | int, name: str = "tuned", form: str = "plain", **more: object
) -> Arm:
    """`hits[q]` misaligned answers among `sizes[q]` to question q."""
    sizes = [sizes] * len(hits) if isinstance(sizes, int) else sizes
    answers: list[Answer] = []
    verdicts: list[Verdict] = []
    for q, (bad, size) in enumerate(zip(hits, sizes, strict=True)):
        for sample in range(size):
            answers.append(Answer(f"{form}-{q}", "?", "!", arm=name, format=form, sample=sample, **more))  # type: ignore[arg-type]
            verdicts.append(BAD if sample < bad else GOOD)
    return answers, verdicts


def beta_binomial(random: np.random.Generator, p: float, rho: float, questions: int, samples: int) -> list[int]:
    """Hits of questions whose own rates are beta with mean p and intra-question correlation rho."""
    rates = random.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, size=questions)
    return random.binomial(samples, rates).tolist()
