"""A grid of fine-tunes: each on its data, by its preset, made now or given; and how any two of them are related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from misdirection.directions import Convention, Direction, choose_pools
from misdirection.directions.null import Nulls, null_directions
from misdirection.errors import MisdirectionError
from misdirection.results import Effect, FineTuneRow
from misdirection.store import Cached
from misdirection.store.measurement import INCIDENTAL
from misdirection.studies.convergence.results import By, Relation
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.direction_size import direction_size
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import own_answers
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants


@dataclass(frozen=True)
class Member:
    """One fine-tune of the grid.

    Attributes:
        name: Also of its adapter and of its arm.
        domain: What it was tuned on.
        kind: How: the preset.
        tune: How it is made now, None where it is there.
        folder: Where it is, None where it is made now.
    """

    name: str
    domain: str
    kind: str
    tune: FineTune | None = field(default=None, metadata=INCIDENTAL)
    folder: Path | None = field(default=None, metadata=INCIDENTAL)


@dataclass(frozen=True)
class OwnNulls:
    """What a fine-tune's direction is held against.

    Attributes:
        nulls: Directions of the same answers, with labels shuffled or questions matched.
        left_out: Answers that could not be read back; None where all could.
    """

    nulls: Nulls
    left_out: LeftOut | None


def members(config: ConvergenceConfig) -> list[Member]:
    """The fine-tunes of the settings: every preset on all data, then those that are given.

    Raises:
        MisdirectionError: Two have one name, or a given folder is not there.
    """
    grid = [
        Member(f"{domain}-{preset}", domain, preset, FineTune(preset, (file,), config.training, config.seed))
        for domain, file in named(config.data, "data").items()
        for preset in config.presets
    ]
    for name, folder in named(config.fine_tune, "fine-tune").items():
        if not Path(folder).is_dir():
            raise MisdirectionError(f"--fine-tune {name}: {folder} is no folder", "an adapter's or a model's folder")
        domain, _, kind = name.partition("/")
        grid.append(Member(name.replace("/", "-"), domain, kind or name, folder=Path(folder)))
    names = [member.name for member in grid]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MisdirectionError(f"two fine-tunes are called '{twice[0]}'", "give each --data and --fine-tune its name")
    return grid


def tuned(bench: Bench[ConvergenceConfig], grid: Sequence[Member]) -> Variants:
    """The base and all fine-tunes: adapters in one resident model, whole models each loaded once a step."""
    made = bench.train_all({m.name: m.tune for m in grid if m.tune})
    return bench.variants({m.name: made[m.name].path / "tuned" if m.tune else Path(str(m.folder)) for m in grid})


def relation(one: Member, other: Member) -> Relation:
    """What two different fine-tunes share."""
    if one.domain == other.domain:
        return "same data, other preset"
    return "same preset, other data" if one.kind == other.kind else "other data and preset"


def groups_of(grid: Sequence[Member]) -> dict[By, dict[str, list[int]]]:
    """Places of the members by domain and by kind; a partition with a single group, or one for each, is left out."""
    by_data, by_preset = _places([m.domain for m in grid]), _places([m.kind for m in grid])
    partitions: dict[By, dict[str, list[int]]] = {"data": by_data, "preset": by_preset}
    return {by: groups for by, groups in partitions.items() if 1 < len(groups) < len(grid)}


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    return {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}


def own_nulls(
    models: Variants, questions: Sequence[str], judged: Judged, how: Convention, balance: int, variant: str,
    shuffles: int, seed: int,
) -> OwnNulls:  # fmt: skip
    """Directions of the very pools that the fine-tune's direction was made of, with labels shuffled, questions matched.

    Args:
        models: The variants.
        questions: Ids of those whose answers count.
        judged: Of all arms.
        how: Tokens, pools and weighting.
        balance: Seed of the pools, the direction's own.
        variant: Whose answers.
        shuffles: Labelings.
        seed: Of the shuffles.
    """
    model, arm = models.model(variant), models.arm(variant)
    said, sources, aside = own_answers(model, judged, questions, variant)
    pools = choose_pools(said, how, seed=balance)
    return OwnNulls(null_directions(model, arm, sources, pools, how, shuffles=shuffles, seed=seed), aside)


def find_nulls(
    bench: Bench[ConvergenceConfig], models: Variants, asked: Asked, member: Member, place: int
) -> Cached[OwnNulls]:
    """The nulls of one fine-tune; the seed differs by `place`, so that no two models are shuffled alike."""
    c = bench.config
    return bench.run.cached(
        own_nulls, "null", models=models, questions=sorted(question.id for question in bench.open_questions),
        judged=asked.kept, how=bench.convention, balance=c.seed, variant=member.name, shuffles=c.shuffles,
        seed=1000 * (place + 1) + c.seed,
    )  # fmt: skip


def fine_tune_row(
    bench: Bench[ConvergenceConfig], asked: Sequence[Asked], member: Member | None, direction: Direction | None
) -> FineTuneRow:
    """Rates of one fine-tune (or of the base), every group of questions apart, and its direction's size by layer."""
    name = member.name if member else "base"
    groups: dict[str, Effect] = {}
    for judged in (part.judged.arm(name) for part in asked):
        for domain in dict.fromkeys(answer.domain for answer in judged.answers):
            part = judged.where(lambda a, d=domain: a.domain == d)
            groups[domain or "open"] = effect_of(part, bench.thresholds)
    return FineTuneRow(
        model=name,
        domain=member.domain if member else None,
        preset=member.kind if member else None,
        groups=groups,
        direction=direction_size(direction) if direction else None,
    )


def stack(directions: Mapping[str, Cached[Direction]]) -> tuple[Tensor, Tensor]:
    """Vectors (directions, n_layers, width) and their stability (directions, n_layers)."""
    values = [held.value for held in directions.values()]
    return torch.stack([d.vectors for d in values]), torch.stack([d.stability for d in values])
