"""How easy the general and the narrow solution of one kind are (arXiv 2602.07852).

- Efficiency: the loss on the harmful answers with each solution made longer and shorter, and at equal length.
- Stability: how much of what was learned is lost when a solution is moved aside at constant length.
- Significance: KL(moved || base) on neutral text by length, beside random solutions of the same length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from scipy import stats
from torch import Tensor

from misdirection import progress
from misdirection.adapters.ease import (
    Interval,
    Nats,
    degradation,
    difference,
    divergence,
    interval,
    loss,
    moved_aside,
    of_length,
    random_theta,
)
from misdirection.adapters.solutions import Solution, adapter_solution, vector_solution, weight_cosine
from misdirection.chats import Chat, ChatFile
from misdirection.engine import Arm, Text
from misdirection.models import Model
from misdirection.results import row_of
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.variants import Variants
from misdirection.studies.narrow.neutral import neutral_texts
from misdirection.studies.narrow.results import (
    ByLength,
    Curve,
    Ease,
    EqualLength,
    Lost,
    Mean,
    ScaledMeasure,
    SolutionLength,
    Stability,
    Texts,
)
from misdirection.tokens import TokenError, encode_read
from misdirection.training.steering_vector import load_vector

if TYPE_CHECKING:
    from misdirection.studies.narrow.study import Trained

Pair = Mapping[str, Solution]
"""The general and the narrow solution of one kind, by these names."""

Measure = Callable[[Solution, Tensor, Sequence[Text]], Nats]


@dataclass(frozen=True)
class MeasuredEase:
    """How easy two solutions are.

    Attributes:
        ease: All three measures.
        left_out: Chats that the template refuses; None where it takes all.
    """

    ease: Ease
    left_out: LeftOut | None


def measured_ease(
    general: Trained,
    narrow: Trained,
    models: Variants,
    harmful: ChatFile,
    elsewhere: ChatFile,
    neutral: ChatFile | Path,
    texts: int,
    neutral_tokens: int,
    factors: Sequence[float],
    epsilons: Sequence[float],
    aside_seeds: int,
    random_seeds: int,
) -> MeasuredEase:
    """All three measures of a general and a narrow solution.

    Args:
        general: The solution that was learned plainly.
        narrow: The one that was held to the base elsewhere.
        models: The base, and both where they are adapters.
        harmful: Chats with the answers that the loss is measured on.
        elsewhere: Chats that the divergence from the base is measured on.
        neutral: Where the neutral text comes from.
        texts: How many of each are read.
        neutral_tokens: Tokens kept of each neutral text.
        factors: Multiples of each solution's length.
        epsilons: How far a solution is moved aside, 0 to 1.
        aside_seeds: Directions in which it is moved aside.
        random_seeds: Random solutions.
    """
    model = models.base_model
    pair = {"general": _solution(model, general), "narrow": _solution(model, narrow)}
    read: Counter[str] = Counter()
    bad, other = (_texts(model, chats.chats, texts, read) for chats in (harmful, elsewhere))
    plain = neutral_texts(model, neutral, texts, neutral_tokens)
    with progress.task(f"measuring how easy {general.kind} solutions are", 3, "measures") as advance:
        lengths = solutions(pair, bad, other)
        by_loss = by_length(pair, bad, factors, random_seeds, loss)
        advance()
        stable = stability(pair, bad, epsilons, aside_seeds)
        advance()
        by_change = by_length(pair, plain, factors, random_seeds, divergence)
        advance()
    ease = Ease(
        kind=general.kind,
        cosine=_cosine(pair, general, narrow),
        solutions=lengths,
        efficiency=by_loss,
        stability=stable,
        significance=by_change,
        texts=Texts(harmful=len(bad), elsewhere=len(other), neutral=len(plain)),
    )
    aside = {"refused by the chat template": refused} if (refused := read["refused"]) else {}
    return MeasuredEase(ease, LeftOut(read["of"], aside) if aside else None)


def _solution(model: Model, trained: Trained) -> Solution:
    if trained.kind != "vector":
        return adapter_solution(trained.name, model, trained.name)
    loaded = load_vector(trained.folder)
    return vector_solution(trained.name, model, loaded.vector, loaded.layer)


def _texts(model: Model, chats: Sequence[Chat], most: int, read: Counter[str]) -> list[Text]:
    """Answers, evenly taken from all chats."""
    chosen = chats[:: max(1, len(chats) // most)][:most]
    texts: list[Text] = []
    for chat in chosen:
        try:
            item = encode_read(model.tokenizer, chat.messages)
        except TokenError:
            continue
        texts.append(Text(item.ids, {}, Arm("base"), max(1, item.start)))
    read["of"] += len(chosen)
    read["refused"] += len(chosen) - len(texts)
    return texts


def _cosine(pair: Pair, general: Trained, narrow: Trained) -> float:
    if general.kind == "vector":
        one, two = (torch.nn.functional.normalize(s.theta, dim=0) for s in pair.values())
        return float(one @ two)
    return weight_cosine(pair["general"].model, general.name, narrow.name)


def solutions(pair: Pair, harmful: Sequence[Text], elsewhere: Sequence[Text]) -> tuple[SolutionLength, ...]:
    """Length of each solution, its loss on the harmful answers, and KL(base || tuned) on the chats elsewhere."""
    untuned = pair["general"]
    base = SolutionLength(
        solution="base", norm=0.0, loss=_mean(interval(loss(untuned, 0 * untuned.theta, harmful))), elsewhere=None
    )
    tuned = (
        SolutionLength(
            solution=name,
            norm=solution.norm,
            loss=_mean(interval(loss(solution, solution.theta, harmful))),
            elsewhere=_mean(interval(divergence(solution, solution.theta, elsewhere, towards="moved"))),
        )
        for name, solution in pair.items()
    )
    return (base, *tuned)


def _mean(measured: Interval) -> Mean:
    return row_of(Mean, measured)


def by_length(
    pair: Pair, texts: Sequence[Text], factors: Sequence[float], random_seeds: int, measure: Measure
) -> ByLength:
    """A measure by length, beside that of random solutions, and narrow minus general at equal lengths.

    Efficiency is the loss on harmful answers, significance KL(moved || base) on neutral text.
    """

    def at(solution: Solution, theta: Tensor) -> Nats:
        return measure(solution, theta, texts)

    curves = [_curve(name, solution, solution.theta, factors, at) for name, solution in pair.items()]
    model = pair["general"]
    curves += [
        _curve(f"random {seed}", model, random_theta(model.theta, seed), factors, at)
        for seed in range(1, random_seeds + 1)
    ]
    equal: list[EqualLength] = []
    for name, norm in [(name, solution.norm) for name, solution in pair.items()]:
        general, narrow = (at(solution, of_length(solution.theta, norm)) for solution in pair.values())
        apart = _mean(difference(narrow, general))
        equal.append(EqualLength(length_of=name, norm=norm, general=general.mean, narrow=narrow.mean, difference=apart))
    return ByLength(curves=tuple(curves), equal=tuple(equal))


def _curve(
    name: str, solution: Solution, theta: Tensor, factors: Sequence[float], at: Callable[[Solution, Tensor], Nats]
) -> Curve:
    length = float(theta.norm())
    points = tuple(
        row_of(ScaledMeasure, interval(at(solution, factor * theta)), factor=factor, norm=factor * length)
        for factor in (0.0, *sorted(factors))
    )
    return Curve(solution=name, points=points)


def stability(pair: Pair, harmful: Sequence[Text], epsilons: Sequence[float], seeds: int) -> Stability:
    """Share of what was learned that is lost by moving each solution aside, in percent, by distance.

    The difference, narrow minus general, is the mean over distances below 1 (at 1 nothing of either is left), with
    Student's interval over directions.
    """
    lost: dict[str, list[list[float]]] = {}
    for name, solution in pair.items():
        theta = solution.theta
        untuned, whole = (loss(solution, place, harmful).mean for place in (0 * theta, theta))
        lost[name] = [
            [degradation(loss(solution, moved_aside(theta, e, seed), harmful).mean, whole, untuned)
             for seed in range(1, seeds + 1)]
            for e in epsilons
        ]  # fmt: skip
    rows = tuple(
        Lost(solution=name, epsilon=epsilon, **vars(mean_interval(values)))
        for name, table in lost.items()
        for epsilon, values in zip(epsilons, table, strict=True)
    )
    kept = [place for place, epsilon in enumerate(epsilons) if epsilon < 1] or list(range(len(epsilons)))
    means = {name: torch.tensor(table, dtype=torch.float64)[kept].mean(0) for name, table in lost.items()}
    return Stability(rows=rows, difference=mean_interval((means["narrow"] - means["general"]).tolist()))


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean with Student's 95 % interval; without bounds where there is one value."""
    count, mean = len(values), sum(values) / len(values)
    if count < 2:
        return Mean(value=mean, low=None, high=None, n=count)
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return Mean(value=mean, low=mean - reach, high=mean + reach, n=count)
