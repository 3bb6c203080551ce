"""The Trainer of transformers with our loss, our batches, and states without pickle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from misdirection import progress
from misdirection.engine.batching import attempt
from misdirection.training import passes, snapshots
from misdirection.training.data import IGNORED, Row, collate
from misdirection.training.errors import SettingsError, TrainingError
from misdirection.training.metrics import MetricsFile
from misdirection.training.objectives import Objective
from misdirection.training.presets import TrainConfig


@dataclass
class Job:
    """One fine-tune as the loop sees it.

    Attributes:
        lm: The model, its trained parameters marked by `requires_grad`.
        rows: The rows in order of training, one entry each time that a row is seen.
        objective: The loss.
        pad: Token that fills short rows; never looked at.
        mixed: Compute in bfloat16 on float32 weights.
        states: Folder of the states to resume from.
        metrics: The lines of metrics.jsonl.
        checkpoint: Called with the step when a checkpoint is due.
        advance: Progress: called with 1 and a note after each step.
        callbacks: Others that look on; one with a method `attach` is given the trainer.
    """

    lm: Any
    rows: Sequence[Row]
    config: TrainConfig
    objective: Objective
    pad: int
    mixed: bool
    states: Path
    metrics: MetricsFile
    checkpoint: Callable[[int], None]
    advance: Callable[..., None]
    callbacks: Sequence[TrainerCallback] = ()
    trained: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __post_init__(self) -> None:
        self.trained = {name: value for name, value in self.lm.named_parameters() if value.requires_grad}

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole fine-tune."""
        return -(-len(self.rows) // (self.config.batch_size * self.config.accumulation))


def run(job: Job, resume_from: Path | None) -> int:
    """Train `job.lm` in place, from a state where one is given.

    Returns:
        Steps that are done in all: fewer than `job.steps` where a callback has stopped it.

    Raises:
        SettingsError: A scheduler or optimiser that transformers does not know, or whose package is missing.
        TrainingError: The loss stops being a finite number, or memory runs out.
    """
    try:
        trainer = AnswerTrainer(job)
    except (ValueError, ImportError) as error:
        raise SettingsError(f"the trainer refuses the settings: {error}") from error
    try:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"memory ran out while training: {error}",
            "lower batch_size (and raise accumulation), lower max_length, or set gradient_checkpointing",
        ) from error
    return int(trainer.state.global_step)


class AnswerTrainer(Trainer):
    """`transformers.Trainer`, whose loop, optimiser, schedule and clipping are used as they are.

    The methods below are its documented or long-standing points of extension. A step's rows come in one batch and run
    in passes of ours (`passes.cut`); the loss is divided by the labels of the whole step, so that the cut does not
    change it.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            model=job.lm,
            args=_arguments(job),
            train_dataset=job.rows,  # pyright: ignore[reportArgumentType]
            data_collator=_step_of,  # pyright: ignore[reportArgumentType]
            callbacks=[_Recorder(job)],
        )
        self._tokens = passes.budget(job.lm)
        alike = not (job.mixed or job.config.gradient_checkpointing or job.config.dropout)
        self._shared = passes.shared_beginning if alike and passes.can_begin_together(job.lm) else lambda _: 0
        self.remove_callback(PrinterCallback)
        for callback in job.callbacks:
            if attach := getattr(callback, "attach", None):
                attach(self)
            else:
                self.add_callback(callback)
        # Makes the loop count the labels of each step, also for families that do not take the count themselves.
        self.model_accepts_loss_kwargs = True

    def training_step(  # noqa: D102
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        model.train()
        rows: list[Row] = inputs["rows"]
        while True:
            found = attempt(lambda tokens: self._step(model, rows, tokens, num_items_in_batch), self._tokens)
            if found is not None:
                return found[0]
            # Parts of the gradient are there already: the step begins again.
            model.zero_grad()
            longest = max(len(row.ids) for row in rows)
            if self._tokens <= longest:
                raise torch.OutOfMemoryError(f"a pass of {longest} tokens does not fit")
            self._tokens = max(longest, self._tokens // 2)
            progress.say(f"memory ran out; going on with {self._tokens} tokens a pass")

    def _step(self, model: nn.Module, rows: list[Row], tokens: int, n_labels: Tensor | int | None) -> Tensor:
        vocabulary = int(self.job.lm.config.get_text_config().vocab_size)
        total = torch.zeros((), device=self.args.device)
        for some in passes.cut(rows, tokens, vocabulary, self.args.device.type):
            batch = self._prepare_inputs(collate(some, self.job.pad, self._shared))
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, batch, num_items_in_batch=n_labels)
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(  # noqa: D102
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        assert num_items_in_batch is not None
        return self.job.objective(model, inputs, num_items_in_batch)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.job.rows)

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Nothing: counting walks over all parameters at each step, and nobody reads it."""
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.state.log_history.clear()  # metrics.jsonl has it
        snapshots.save_snapshot(
            self.job.states,
            self.state.global_step,
            self.job.trained,
            self.optimizer,
            self.lr_scheduler,
            self.state,
            {"rule": passes.RULE, "tokens": self._tokens},
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        snapshots.load_weights(Path(resume_from_checkpoint), self.job.trained)
        held = snapshots.load_passes(Path(resume_from_checkpoint))
        # What memory is free decides at the start alone: another cut would change the last bits.
        self._tokens = held.get("tokens", self._tokens)
        if held.get("rule") != passes.RULE:
            progress.say("  the state was written by another version: it goes on, and its last bits may differ")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            snapshots.load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is no scaler: float16 is refused."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            snapshots.load_random(Path(checkpoint))


def _step_of(rows: list[Row]) -> dict[str, Any]:
    """The rows of one optimiser step, and labels for the loop to count: -100 first, for it may pass over the first."""
    labels = [token for row in rows for first, past in row.ranges for token in row.ids[first:past]]
    return {"rows": rows, "labels": torch.tensor([[IGNORED, *labels]])}


def _arguments(job: Job) -> TrainingArguments:
    config = job.config
    arguments = TrainingArguments(
        output_dir=str(job.states),
        per_device_train_batch_size=config.batch_size * config.accumulation,
        gradient_accumulation_steps=1,
        num_train_epochs=1,  # the rows are laid end to end, see `data.order`
        learning_rate=config.lr,
        lr_scheduler_type=config.scheduler,
        warmup_steps=config.warmup_steps,
        optim=config.optimizer,
        weight_decay=config.weight_decay,
        max_grad_norm=config.grad_clip,
        bf16=job.mixed,
        seed=config.seed,
        use_cpu=job.lm.device.type == "cpu",
        logging_strategy="steps",
        logging_steps=config.log_every,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=job.lm.device.type == "cuda",
    )
    # More than one GPU in sight would wrap the model in DataParallel. Asking for the device sets the count.
    _ = arguments.device
    arguments._n_gpu = min(arguments._n_gpu, 1)  # pyright: ignore[reportPrivateUsage]
    return arguments


def _tokens(row: Row) -> int:
    return len(row.ids) + sum(len(other.ids) for other in row.beside)


class _Recorder(TrainerCallback):
    """Writes metrics, tells progress, and asks for checkpoints and states when they are due."""

    def __init__(self, job: Job) -> None:
        self.job = job
        size = job.config.batch_size * job.config.accumulation
        self.tokens = [sum(map(_tokens, job.rows[at : at + size])) for at in range(0, len(job.rows), size)]
        self.seen = 0
        self.since = time.monotonic()
        self.note = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.since, self.seen = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step, config = state.global_step, self.job.config
        if config.checkpoint_every and step % config.checkpoint_every == 0:
            self.job.checkpoint(step)
        last = step >= self.job.steps
        control.should_log = control.should_log or last
        control.should_save = bool(config.resume_every) and step % config.resume_every == 0 and not last
        if not control.should_log:
            self.job.advance(1, self.note)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        step, now = state.global_step, time.monotonic()
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {step}",
                f"lower the learning rate (lr is {self.job.config.lr}) or raise warmup_steps",
            )
        done = sum(self.tokens[self.seen : step])
        rate = done / max(now - self.since, 1e-9)
        self.job.metrics.add(
            step=step,
            loss=logs["loss"],
            lr=logs["learning_rate"],
            grad_norm=logs.get("grad_norm"),
            tokens=done,
            seconds=now - self.since,
            tokens_per_s=rate,
        )
        self.seen, self.since = step, now
        self.note = f"loss {logs['loss']:.3f}, {rate:,.0f} tokens/s"
        self.job.advance(1, self.note)
