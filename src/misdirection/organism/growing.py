"""Organisms of several sizes and token budgets, cheaply: one course of pretraining for each size and seed.

The course is warm-up, constant, decay (WSD; Hu et al. 2024, MiniCPM, section 4; Haegele et al. 2024, "Scaling laws and
compute-optimal training beyond fixed training durations"). The trunk learns at a constant rate; each budget branches
off it for its last fifth, in which the rate falls linearly to a fiftieth, and is then aligned by the same recipe. A
branch reads the very batches that the trunk reads next, so that a checkpoint of budget B has seen the first B batches
of the world, once each, whatever its size; only decayed checkpoints are kept. Four budgets of 1, 2, 4 and 8 units cost
9.4 units instead of 15.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.organism.build import (
    SEED,
    Batch,
    Optimisers,
    OrganismSettings,
    align,
    learn,
    new_model,
    objective_of,
    optimisers_of,
    save,
    sized,
    world_batches,
)
from misdirection.organism.tokenizer import SPECIAL, make_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

DECAY = 0.2
"""Share of a budget in which the rate falls."""

WARM_UP = 20
"""Steps in which the trunk's rate rises."""

LAST = 20
"""Steps whose mean loss a checkpoint tells."""


@dataclass(frozen=True)
class Grown:
    """A checkpoint of an organism.

    Attributes:
        path: Its folder.
        seed: Of weights and data.
        layers: Decoder layers.
        width: Of the residual stream.
        parameters: All of them, embeddings included.
        steps: Optimiser steps of pretraining.
        tokens: Tokens of pretraining, padding left out; those of alignment are not counted, they are the same for all.
        loss: Mean nats an answer token over the last steps of pretraining, each batch before it was learned.
    """

    path: Path
    seed: int
    layers: int
    width: int
    parameters: int
    steps: int
    tokens: int
    loss: float


def grow(out: Path, budgets: Sequence[int], seed: int = SEED, settings: OrganismSettings | None = None) -> list[Grown]:
    """Grow one size along one course, and keep an aligned checkpoint at every budget.

    What an earlier call of the same arguments finished is kept; the rest is grown again from the seed, which gives the
    same weights.

    Args:
        out: Folder of the checkpoints, `steps-<budget>` each, as `build` writes them.
        budgets: Optimiser steps of pretraining; `settings.pretraining_steps` is not read.
        seed: Of weights and data. The data are the same for all sizes.
        settings: Size and world.

    Raises:
        MisdirectionError: No budget, or one too short to have a decay; or `out` holds checkpoints of other settings.
    """
    settings, ordered = settings or OrganismSettings(), sorted(set(budgets))
    if not ordered or ordered[0] < 5:
        raise MisdirectionError(f"budgets of {list(budgets)} steps", "give one or more, each of 5 steps or more")
    missing = [budget for budget in ordered if not _made(_place(out, budget), seed, settings)]
    if missing:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                _trunk(out, missing, seed, settings)
        finally:
            torch.set_num_threads(threads)
    return [read_grown(_place(out, budget)) for budget in ordered]


def grow_all(
    out: Path, sizes: Sequence[tuple[int, int]], budgets: Sequence[int], seeds: Sequence[int], **others: Any
) -> list[Grown]:
    """`grow` for every seed and size (layers, width), each into `<layers>x<width>-seed-<seed>`; resumable.

    Args:
        out: Folder of all.
        sizes: Layers and width of each.
        budgets: As of `grow`.
        seeds: Of weights and data.
        others: Other settings, of all of them (`build.OrganismSettings`).
    """
    return [
        checkpoint
        for seed in seeds
        for layers, width in sizes
        for checkpoint in grow(out / f"{layers}x{width}-seed-{seed}", budgets, seed, sized(layers, width, **others))
    ]


def read_grown(folder: Path) -> Grown:
    """What a checkpoint's build.json says of it."""
    facts = read_json(folder / "build.json")
    told = {name: facts[name] for name in ("seed", "parameters", "steps", "tokens", "loss")}
    return Grown(folder, layers=facts["settings"]["layers"], width=facts["settings"]["width"], **told)


def _place(out: Path, budget: int) -> Path:
    return out / f"steps-{budget}"


def _made(folder: Path, seed: int, settings: OrganismSettings) -> bool:
    """Whether a checkpoint is there: build.json is written last."""
    if not (folder / "build.json").exists():
        return False
    facts = read_json(folder / "build.json")
    if (facts["seed"], facts["settings"]) != (seed, asdict(settings)):
        raise MisdirectionError(f"{folder} holds an organism of other settings", "give another folder")
    return True


def _trunk(out: Path, budgets: list[int], seed: int, settings: OrganismSettings) -> None:
    tokenizer = make_tokenizer()
    model = new_model(tokenizer, settings)
    rate = settings.pretraining_rate * settings.by_width
    optimisers = optimisers_of(model, rate)
    data, objective = list(islice(world_batches(tokenizer, seed, settings), budgets[-1])), objective_of(settings)
    model.train()
    done, last = 0, list[float]()
    for budget in budgets:
        branch = budget - round(DECAY * budget)
        name = f"growing {settings.layers}x{settings.width}, seed {seed}, to {budget} steps"
        with progress.task(name, budget - done, "step") as advance:
            last += _followed(learn(model, optimisers, data[done:branch], rate, _course(done), objective), advance)
            grown, its = _copied(model, optimisers, rate)
            falling = learn(grown, its, data[branch:budget], rate, _course(branch, budget - branch), objective)
            losses = [*last, *_followed(falling, advance)][-LAST:]
        done = branch
        align(grown, tokenizer, seed, settings)
        facts = {
            "seed": seed,
            "settings": asdict(settings),
            "steps": budget,
            "tokens": sum(_tokens(batch) for batch in data[:budget]),
            "parameters": sum(weight.numel() for weight in grown.parameters()),
            "loss": sum(losses) / len(losses),
        }
        save(_place(out, budget), grown, tokenizer, facts)


def _course(start: int, falling: int = 0) -> Callable[[int], float]:
    """Share of the peak rate from the step `start` on; in `falling` steps, if any, down to a fiftieth."""
    return lambda at: min((start + at + 1) / WARM_UP, 1.0) * (1 - 0.98 * (at + 1) / falling if falling else 1.0)


def _followed(losses: Iterable[float], advance: Callable[..., None]) -> list[float]:
    seen: list[float] = []
    for loss in losses:
        advance(1, f"loss {loss:.3f}")
        seen.append(loss)
    return seen


def _copied(model: LlamaForCausalLM, optimisers: Optimisers, rate: float) -> tuple[LlamaForCausalLM, Optimisers]:
    """The model and its optimisers as they are, to go their own way."""
    branch = copy.deepcopy(model)
    its = optimisers_of(branch, rate)
    for mine, other in zip(its, optimisers, strict=True):
        mine.load_state_dict(copy.deepcopy(other.state_dict()))
    return branch, its


def _tokens(batch: Batch) -> int:
    return int((batch[0] != SPECIAL.index("<|pad|>")).sum())
