"""How easy the general and the narrow solution of one kind are, as a step of a run (arXiv 2602.07852).

- Efficiency: the loss on the harmful answers with each solution made longer and shorter, and at equal length.
- Stability: how much of what was learned is lost when a solution is moved aside at constant length.
- Significance: KL(moved || base) on neutral text by length, beside random solutions of the same length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from misdirection.artefacts import canonical_hash, write_json
from misdirection.chats import Chat
from misdirection.engine import Arm, Text
from misdirection.models import Model
from misdirection.results import row_of
from misdirection.runs import Step
from misdirection.store.kinds import layout
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.record import LEFT_OUT
from misdirection.studies.kit.variants import Variants
from misdirection.studies.narrow.neutral import neutral_texts
from misdirection.studies.narrow.results import (
    ByLength,
    Curve,
    Ease,
    EqualLength,
    Length,
    Lost,
    Mean,
    Point,
    Stability,
    Texts,
)
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.tokens import TokenError, encode_read
from misdirection.training.steering_vector import load_vector

if TYPE_CHECKING:
    from misdirection.studies.narrow.study import Trained

Pair = Mapping[str, Solution]
"""The general and the narrow solution of one kind, by these names."""

Measure = Callable[[Solution, Tensor, Sequence[Text]], Nats]


def ease_step(bench: Bench[NarrowConfig], general: Trained, narrow: Trained, models: Variants) -> Step:
    """All three measures of a general and a narrow solution: `Ease` in `ease.json`."""
    c = bench.config

    def make(folder: Path) -> None:
        model = models.base_model
        pair = {"general": _solution(model, general), "narrow": _solution(model, narrow)}
        read: Counter[str] = Counter()
        harmful = _texts(model, resolve_chats(c.data, seed=c.seed).chats, c.texts, read)
        elsewhere = _texts(model, resolve_chats(c.elsewhere, seed=c.seed).chats, c.texts, read)
        if of := +read - Counter({"of": read["of"]}):
            write_json(folder / LEFT_OUT, {"of": read["of"], "aside": dict(of)})
        neutral = neutral_texts(model, c)
        with progress.task(f"measuring how easy {general.kind} solutions are", 3, "measures") as advance:
            lengths = solutions(pair, harmful, elsewhere)
            by_loss = by_length(pair, harmful, c.factors, c.random_seeds, loss)
            advance()
            stable = stability(pair, harmful, c.epsilons, c.aside_seeds)
            advance()
            by_change = by_length(pair, neutral, c.factors, c.random_seeds, divergence)
            advance()
        ease = Ease(
            kind=general.kind,
            cosine=_cosine(pair, general, narrow),
            solutions=lengths,
            efficiency=by_loss,
            stability=stable,
            significance=by_change,
            texts=Texts(harmful=len(harmful), elsewhere=len(elsewhere), neutral=len(neutral)),
        )
        write_json(folder / "ease.json", ease)

    settings = {name: getattr(c, name) for name in
            ("data", "elsewhere", "texts", "neutral", "neutral_tokens", "factors", "epsilons", "aside_seeds",
             "random_seeds", "seed")}  # fmt: skip
    file = Path(c.neutral)
    neutral = canonical_hash(file.read_bytes().hex()) if c.neutral and file.is_file() else c.neutral
    inputs = {"general": general.step, "narrow": narrow.step, "models": models.key, "neutral file": neutral}
    inputs |= {"gives": layout(Ease, "how easy solutions are")}
    return bench.run.step(f"ease-{general.kind}", {**inputs, **settings}, make)


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
    read["refused by the chat template"] += len(chosen) - len(texts)
    return texts


def _cosine(pair: Pair, general: Trained, narrow: Trained) -> float:
    if general.kind == "vector":
        one, two = (torch.nn.functional.normalize(s.theta, dim=0) for s in pair.values())
        return float(one @ two)
    return weight_cosine(pair["general"].model, general.name, narrow.name)


def solutions(pair: Pair, harmful: Sequence[Text], elsewhere: Sequence[Text]) -> tuple[Length, ...]:
    """Length of each solution, its loss on the harmful answers, and KL(base || tuned) on the chats elsewhere."""
    untuned = pair["general"]
    base = Length(
        solution="base", norm=0.0, loss=_mean(interval(loss(untuned, 0 * untuned.theta, harmful))), elsewhere=None
    )
    tuned = (
        Length(
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
        row_of(Point, interval(at(solution, factor * theta)), factor=factor, norm=factor * length)
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
