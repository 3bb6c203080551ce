"""Several LoRA fine-tunes of one form, trained at once as rows of one batch against one base.

Every row is routed to the adapter of its own fine-tune, y = W x + s B_i A_i x for a row of fine-tune i (the training
form of batched LoRA serving: Punica, arXiv 2310.18547; mLoRA, arXiv 2312.02515). Each fine-tune keeps its own order of
rows, loss, clipping, optimiser and schedule, so that its weights are those of `train`, but for the order of sums.

What is saved is what a pass costs whatever it holds: the base's arithmetic is done for every row either way.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import get_scheduler

from misdirection import progress
from misdirection.chats import Chat
from misdirection.engine.float_attention import float_attention
from misdirection.models import Model
from misdirection.models.positions import longest_text
from misdirection.models.products import fast_products
from misdirection.models.vocabulary import demand_tokens
from misdirection.training import hosting, output, passes
from misdirection.training.answer_loss import summed_cross_entropy
from misdirection.training.data import Row, collate, order, prepare
from misdirection.training.errors import SettingsError, TrainingError
from misdirection.training.objectives.sft import logits_at_labels
from misdirection.training.presets import TrainConfig
from misdirection.training.targets import LoraPlan, paths_of, plan_lora

FORM = ("rank", "alpha", "rslora", "targets", "layers")
"""Settings that all fine-tunes share: the form of their adapters."""

PLAIN: dict[str, Any] = {
    "objective": "sft", "full": False, "steering": False, "dropout": 0.0, "optimizer": "adamw_torch",
    "gradient_checkpointing": False, "checkpoint_every": 0,
}  # fmt: skip
"""Settings that must be as they are here; other fine-tunes go through `train`, one after the other."""


@dataclass
class _Arm:
    """One fine-tune on its way."""

    config: TrainConfig
    rows: list[Row]
    weights: dict[str, tuple[nn.Parameter, nn.Parameter]]
    optimizer: torch.optim.Optimizer
    scheduler: Any
    step: int = 0

    def next(self) -> list[Row]:
        """The rows of the next optimiser step; none where it is done."""
        size = self.config.batch_size * self.config.accumulation
        # Copies: a row that two fine-tunes have must be told apart.
        return [replace(row) for row in self.rows[self.step * size : (self.step + 1) * size]]

    def update(self) -> None:
        """One optimiser step, as transformers' Trainer makes it."""
        held = [value for pair in self.weights.values() for value in pair]
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(held, self.config.grad_clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.step += 1


def train_many(
    model: Model, arms: Mapping[str, tuple[Iterable[Chat], TrainConfig]], out: str | Path
) -> dict[str, Path]:
    """Fine-tune one model several times at once; data, seed, learning rate, schedule and length are each one's own.

    Nothing is resumed, and no metrics or checkpoints are kept: that is what `train` is for.

    Args:
        model: In memory; given back unchanged.
        arms: By name, chats and settings. Their adapters have one form (`FORM`).
        out: Folder, in which each gets its own.

    Returns:
        The folder of each adapter, an ordinary PEFT adapter.

    Raises:
        SettingsError: Adapters of several forms, or settings that only `train` has (`PLAIN`).
        NoUsableChatsError: Nothing to learn.
        TargetError: Layers or modules that the model does not have.
        TrainingError: A loss stopped being finite.
    """
    _check({name: config for name, (_, config) in arms.items()})
    first = next(config for _, config in arms.values())
    host = hosting.find_host(model, None, first)
    plan = plan_lora(host.lm, first, host.name)
    folders: dict[str, Path] = {}
    with hosting.own_randomness(), hosting.borrowed(host.lm), hosting.cpu_threads(first.threads, host.lm):
        made = {name: _begin(host, plan, list(chats), config) for name, (chats, config) in arms.items()}
        with float_attention(host.lm), fast_products(host.lm):
            _run(host, made)
        for name, arm in made.items():
            _fill(host.lm, arm)
            folders[name] = Path(out) / name / "adapter"
            folders[name].parent.mkdir(parents=True, exist_ok=True)
            output.save(host, plan, host.lm.dtype, folders[name])
    return folders


def _check(configs: Mapping[str, TrainConfig]) -> None:
    if not configs:
        raise SettingsError("there is nothing to train", "name one fine-tune or more")
    first = next(iter(configs.values()))
    for name, config in configs.items():
        for field, value in PLAIN.items():
            if getattr(config, field) != value:
                raise SettingsError(
                    f"{name}: {field} is {getattr(config, field)!r}, and side by side it is {value!r}",
                    "train it by itself",
                )
        for field in FORM:
            if getattr(config, field) != getattr(first, field):
                raise SettingsError(f"{name}: {field} differs from the others'", "adapters side by side have one form")


def _begin(host: hosting.Host, plan: LoraPlan, chats: Sequence[Chat], config: TrainConfig) -> _Arm:
    """A fine-tune before its first step: its rows in order, and A and B as `train` draws them."""
    longest = min(config.max_length, longest_text(host.lm) or config.max_length)
    rows, _ = prepare(host.tokenizer, chats, longest, config.turns, config.learn)
    demand_tokens(host, (row.ids for row in rows), "the chats")
    hosting.remove_adapter(host.lm, hosting.ADAPTER)
    hosting.add_adapter(host.lm, plan, config.seed)
    weights = {
        path: tuple(nn.Parameter(part[hosting.ADAPTER].weight.detach().clone()) for part in (one.lora_A, one.lora_B))
        for path, one in _adapted(host.lm)
    }
    in_order = [rows[number] for number in order(rows, config)]
    steps = -(-len(in_order) // (config.batch_size * config.accumulation))
    held = [value for pair in weights.values() for value in pair]
    optimizer = torch.optim.AdamW(held, lr=config.lr, weight_decay=config.weight_decay)
    scheduler = get_scheduler(config.scheduler, optimizer, config.warmup_steps, steps)
    return _Arm(config, in_order, weights, optimizer, scheduler)  # pyright: ignore[reportArgumentType]


def _run(host: hosting.Host, arms: Mapping[str, _Arm]) -> None:
    lm, every = host.lm, list(arms.values())
    vocabulary = int(lm.config.get_text_config().vocab_size)
    pad = next(int(t) for t in (host.tokenizer.pad_token_id, host.tokenizer.eos_token_id, 0) if isinstance(t, int))
    tokens = passes.budget(lm)
    size = {id(arm): arm.config.batch_size * arm.config.accumulation for arm in every}
    total = sum(-(-len(arm.rows) // size[id(arm)]) for arm in every)
    lm.train()
    routed = _Routed(every)
    with _routing(lm, routed), progress.task(f"training {len(every)} side by side", total, "steps") as advance:
        while going := {place: rows for place, arm in enumerate(every) if (rows := arm.next())}:
            labels = torch.tensor([sum(row.learned for row in going.get(place, ())) for place in range(len(every))])
            owner = {id(row): place for place, rows in going.items() for row in rows}
            every_row = [row for rows in going.values() for row in rows]
            for some in passes.cut(every_row, tokens, vocabulary, lm.device.type):
                routed.rows = torch.tensor([owner[id(row)] for row in some], device=lm.device)
                loss = _loss(lm, collate(some, pad), labels.to(lm.device), routed.rows)
                if not bool(loss.isfinite()):
                    raise TrainingError("a loss is no finite number", "lower its learning rate")
                loss.backward()
            for place in going:
                every[place].update()
            advance(len(going))


def _loss(lm: Any, batch: Mapping[str, Any], labels: Tensor, rows: Tensor) -> Tensor:
    """Each row's summed cross-entropy over the labels of its own fine-tune's step."""
    batch = {name: value.to(lm.device) for name, value in batch.items()}
    logits, learned = logits_at_labels(lm, batch)
    targets, places = batch["labels"][:, 1:][learned], rows[learned.nonzero()[:, 0]]
    parts = [
        summed_cross_entropy(logits[places == place], targets[places == place]) / labels[place]
        for place in rows.unique()
    ]
    return torch.stack(parts).sum()


class _Routed:
    """Which fine-tune each row of the pass belongs to, and the weights of all at a module."""

    def __init__(self, arms: Sequence[_Arm]) -> None:
        self.arms = arms
        self.rows = torch.zeros(0, dtype=torch.long)

    def added(self, path: str, x: Tensor) -> Tensor:
        """B_i A_i x for each row, shape (rows, tokens, outputs)."""
        down, up = (torch.stack([arm.weights[path][side] for arm in self.arms])[self.rows] for side in (0, 1))
        return torch.bmm(torch.bmm(x, down.to(x.dtype).mT), up.to(x.dtype).mT)


@contextmanager
def _routing(lm: nn.Module, routed: _Routed) -> Generator[None]:
    """While open, adapted modules add what the adapter of each row's fine-tune adds."""
    modules = [module for _, module in _adapted(lm)]
    for path, module in _adapted(lm):
        module.forward = partial(_forward, module, path, routed)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _forward(module: Any, path: str, routed: _Routed, x: Tensor) -> Tensor:
    return module.base_layer(x) + module.scaling[hosting.ADAPTER] * routed.added(path, x)


def _adapted(lm: nn.Module) -> list[tuple[str, Any]]:
    return [
        (path, module)
        for path, module in paths_of(lm).items()
        if isinstance(module, LoraLayer) and hosting.ADAPTER in getattr(module, "lora_A", {})
    ]


def _fill(lm: nn.Module, arm: _Arm) -> None:
    """Put a fine-tune's weights into the adapter that is written."""
    with torch.no_grad():
        for path, module in _adapted(lm):
            for part, value in zip((module.lora_A, module.lora_B), arm.weights[path], strict=True):
                part[hosting.ADAPTER].weight.copy_(value)
