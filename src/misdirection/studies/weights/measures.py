"""What is measured of updates: every two of them, adapters on a line, and checkpoints against a difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import fmean

from misdirection.chats import ChatFile
from misdirection.models import layer_of
from misdirection.repair import updates
from misdirection.repair.change import Factors
from misdirection.repair.combine import combine
from misdirection.repair.factors import Adapter, open_adapter, save_adapter
from misdirection.repair.updates import Alike, Update
from misdirection.store import Folder
from misdirection.studies.weights.results import ModulePair, UpdatePair, WatchedStep


@dataclass(frozen=True)
class ComparedUpdates:
    """Every two updates, whole and at each module, and the norm of each."""

    norms: dict[str, float]
    pairs: list[UpdatePair]
    modules: list[ModulePair]


@dataclass(frozen=True)
class Course:
    """Cosines of a fine-tune's update with a difference at its checkpoints, and the control."""

    steps: list[WatchedStep]
    random: float | None


def compared(adapters: dict[str, Path], random_seeds: int) -> ComparedUpdates:
    """Every two of the adapters.

    Raises:
        RepairError: Two do not belong to one base.
    """
    held = {name: open_adapter(folder).factors for name, folder in adapters.items()}
    pairs: list[UpdatePair] = []
    modules: list[ModulePair] = []
    for one, other in combinations(held, 2):
        updates.check_alike(held[one], held[other], f"{one} and {other}")
        found = updates.by_module(held[one], held[other])
        pairs.append(_pair(one, other, held, found, random_seeds))
        modules += [_at_module(one, other, part) for part in found]
    return ComparedUpdates({name: updates.norm(update) for name, update in held.items()}, pairs, modules)


def _pair(one: str, other: str, held: Mapping[str, Update], found: list[Alike], seeds: int) -> UpdatePair:
    def control(make: Callable[[Update, int], Update]) -> float | None:
        return largest(updates.cosine(held[one], make(held[other], seed)) for seed in range(seeds))

    return UpdatePair(
        one=one,
        other=other,
        modules=len(found),
        cosine=updates.cosine(held[one], held[other]),
        outputs=_mean([part.outputs for part in found]),
        inputs=_mean([part.inputs for part in found]),
        outputs_chance=_mean([part.outputs_chance for part in found]),
        inputs_chance=_mean([part.inputs_chance for part in found]),
        random=control(updates.random_update),
        shuffled=control(updates.shuffled_update),
    )


def _at_module(one: str, other: str, part: Alike) -> ModulePair:
    return ModulePair(
        one=one, other=other, module=part.module, layer=layer_of(part.module), cosine=part.cosine,
        outputs=part.outputs, inputs=part.inputs, nearest_output=part.nearest_output, nearest_input=part.nearest_input,
    )  # fmt: skip


def on_line(one: Path, other: Path, alpha: float, folder: Folder) -> Path:
    """The adapter (1 - alpha) A + alpha B, exactly, its rank that of both together."""
    first, second = open_adapter(one), open_adapter(other)
    save_adapter(folder / "adapter", combine([(first, 1 - alpha), (second, alpha)]).factors, first)
    return folder / "adapter"


def beside_line(one: Path, other: Path, alpha: float, seed: int, folder: Folder) -> Path:
    """The adapter A + alpha R, with R random, of the ranks of B - A and of its norm in every module."""
    first, second = open_adapter(one), open_adapter(other)
    drawn = updates.random_update(updates.difference(second.factors, first.factors), seed)
    away = Adapter("random", first.folder, first.config, _floats(drawn), first.base)
    save_adapter(folder / "adapter", combine([(first, 1.0), (away, alpha)]).factors, first)
    return folder / "adapter"


def _floats(update: Update) -> dict[str, Factors]:
    return {path: Factors(held.a.float(), held.b.float(), held.scaling) for path, held in update.items()}


def course(checkpoints: dict[int, Path], bad: Path, good: Path, random_seeds: int) -> Course:
    """A fine-tune's update at each checkpoint against theta(bad) - theta(good)."""
    away = updates.difference(open_adapter(bad).factors, open_adapter(good).factors)
    held = {step: open_adapter(folder).factors for step, folder in sorted(checkpoints.items())}
    updates.check_alike(away, next(iter(held.values())), "the difference and the checkpoints")
    last = list(held.values())[-1]
    return Course(
        [
            WatchedStep(step=step, cosine=updates.cosine(one, away), norm=updates.norm(one))
            for step, one in held.items()
        ],
        largest(updates.cosine(last, updates.random_update(away, seed)) for seed in range(random_seeds)),
    )


def shuffled_answers(chats: ChatFile, seed: int, folder: Folder) -> Path:
    """The last answers dealt out at random among the chats: the same words, and no question has its own."""
    answers = [chat.answer for chat in chats.chats]
    Random(seed).shuffle(answers)
    with (folder / "shuffled.jsonl").open("w", encoding="utf-8") as stream:
        for chat, answer in zip(chats.chats, answers, strict=True):
            said = [{"role": m.role, "content": m.content} for m in chat.prompt]
            stream.write(json.dumps({"messages": [*said, {"role": "assistant", "content": answer}]}) + "\n")
    return folder / "shuffled.jsonl"


def largest(values: Iterable[float | None]) -> float | None:
    """The largest absolute value of those that there are."""
    return max((abs(value) for value in values if value is not None), default=None)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
