"""How easy the general and the narrow solution of one kind are, as a step of a run (arXiv 2602.07852).

- Efficiency: the loss on the harmful answers with each solution made longer and shorter, and at equal length.
- Stability: how much of what was learned is lost when a solution is moved aside at constant length.
- Significance: KL(moved || base) on neutral text by length, beside random solutions of the same length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from scipy import stats
from torch import Tensor

from misdirection import progress
from misdirection.adapters.ease import (
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
from misdirection.runs import Step
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.record import LEFT_OUT
from misdirection.studies.kit.variants import Variants
from misdirection.studies.narrow.neutral import neutral_texts
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.tokens import TokenError, encode_read
from misdirection.training.steering_vector import load_vector

if TYPE_CHECKING:
    from misdirection.studies.narrow.study import Trained

Row = dict[str, Any]


def ease_step(bench: Bench[NarrowConfig], general: Trained, narrow: Trained, models: Variants) -> Step:
    """All three measures of a general and a narrow solution; `ease.json`."""
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
            found: Row = {"solutions": solutions(pair, harmful, elsewhere), "cosine": _cosine(pair, general, narrow)}
            found["efficiency"] = efficiency(pair, harmful, c.factors, c.random_seeds)
            advance()
            found["stability"] = stability(pair, harmful, c.epsilons, c.aside_seeds)
            advance()
            found["significance"] = significance(pair, neutral, c.factors, c.random_seeds)
            advance()
        found["texts"] = {"harmful": len(harmful), "elsewhere": len(elsewhere), "neutral": len(neutral)}
        write_json(folder / "ease.json", found)

    told = {name: getattr(c, name) for name in
            ("data", "elsewhere", "texts", "neutral", "neutral_tokens", "factors", "epsilons", "aside_seeds",
             "random_seeds", "seed")}  # fmt: skip
    file = Path(c.neutral)
    neutral = canonical_hash(file.read_bytes().hex()) if c.neutral and file.is_file() else c.neutral
    inputs = {"general": general.step, "narrow": narrow.step, "models": models.key, "neutral file": neutral}
    return bench.run.step(f"ease-{general.kind}", {**inputs, **told}, make)


def _solution(model: Model, trained: Trained) -> Solution:
    if trained.kind != "vector":
        return adapter_solution(trained.name, model, trained.name)
    held = load_vector(trained.folder)
    return vector_solution(trained.name, model, held.vector, held.layer)


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


def _cosine(pair: Mapping[str, Solution], general: Trained, narrow: Trained) -> float:
    if general.kind == "vector":
        one, two = (torch.nn.functional.normalize(s.theta, dim=0) for s in pair.values())
        return float(one @ two)
    return weight_cosine(pair["general"].model, general.name, narrow.name)


def solutions(pair: Mapping[str, Solution], harmful: Sequence[Text], elsewhere: Sequence[Text]) -> list[Row]:
    """Length of each solution, its loss on the harmful answers, and KL(base || tuned) on the chats elsewhere."""
    untuned = pair["general"]
    rows = [{"solution": "base", "norm": 0.0, "loss": asdict(interval(loss(untuned, 0 * untuned.theta, harmful))),
             "elsewhere": None}]  # fmt: skip
    for name, found in pair.items():
        apart = divergence(found, found.theta, elsewhere, towards="moved")
        rows.append(
            {"solution": name, "norm": found.norm, "loss": asdict(interval(loss(found, found.theta, harmful))),
             "elsewhere": asdict(interval(apart))}
        )  # fmt: skip
    return rows


def efficiency(
    pair: Mapping[str, Solution], harmful: Sequence[Text], factors: Sequence[float], random_seeds: int
) -> Row:
    """Loss by length, and at equal lengths the loss of the narrow solution minus that of the general one."""
    return _by_length(pair, harmful, factors, random_seeds, loss)


def significance(
    pair: Mapping[str, Solution], neutral: Sequence[Text], factors: Sequence[float], random_seeds: int
) -> Row:
    """KL(moved || base) on neutral text by length, and narrow minus general at equal lengths."""
    return _by_length(pair, neutral, factors, random_seeds, divergence)


def _by_length(
    pair: Mapping[str, Solution], texts: Sequence[Text], factors: Sequence[float], random_seeds: int, measure: Any
) -> Row:
    def at(solution: Solution, theta: Tensor) -> Nats:
        return measure(solution, theta, texts)

    curves = [_curve(name, found, found.theta, factors, at) for name, found in pair.items()]
    model = pair["general"]
    curves += [
        _curve(f"random {seed}", model, random_theta(model.theta, seed), factors, at)
        for seed in range(1, random_seeds + 1)
    ]
    equal: list[Row] = []
    for name, held in pair.items():
        sides = [at(found, of_length(found.theta, held.norm)) for found in pair.values()]
        equal.append(
            {"length_of": name, "norm": held.norm, "general": sides[0].mean, "narrow": sides[1].mean,
             "difference": asdict(difference(sides[1], sides[0]))}
        )  # fmt: skip
    return {"curves": curves, "equal": equal}


def _curve(name: str, solution: Solution, theta: Tensor, factors: Sequence[float], at: Any) -> Row:
    length = float(theta.norm())
    points: list[Row] = []
    for factor in (0.0, *sorted(factors)):
        found = interval(at(solution, factor * theta))
        points.append({"factor": factor, "norm": factor * length, **asdict(found)})
    return {"solution": name, "points": points}


def stability(pair: Mapping[str, Solution], harmful: Sequence[Text], epsilons: Sequence[float], seeds: int) -> Row:
    """Share of what was learned that is lost by moving each solution aside, in percent, by distance.

    The difference, narrow minus general, is the mean over distances below 1 (at 1 nothing of either is left), with
    Student's interval over directions.
    """
    lost: dict[str, list[list[float]]] = {}
    for name, found in pair.items():
        untuned, whole = (loss(found, theta, harmful).mean for theta in (0 * found.theta, found.theta))
        lost[name] = [
            [degradation(loss(found, moved_aside(found.theta, e, seed), harmful).mean, whole, untuned)
             for seed in range(1, seeds + 1)]
            for e in epsilons
        ]  # fmt: skip
    rows = [
        {"solution": name, "epsilon": epsilon, **mean_interval(values)}
        for name, table in lost.items()
        for epsilon, values in zip(epsilons, table, strict=True)
    ]
    kept = [place for place, epsilon in enumerate(epsilons) if epsilon < 1] or list(range(len(epsilons)))
    means = {name: torch.tensor(table, dtype=torch.float64)[kept].mean(0) for name, table in lost.items()}
    return {"rows": rows, "difference": mean_interval((means["narrow"] - means["general"]).tolist())}


def mean_interval(values: Sequence[float]) -> Row:
    """Mean with Student's 95 % interval; without bounds where there is one value."""
    count, mean = len(values), sum(values) / len(values)
    if count < 2:
        return {"value": mean, "low": None, "high": None, "n": count}
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return {"value": mean, "low": mean - reach, "high": mean + reach, "n": count}
