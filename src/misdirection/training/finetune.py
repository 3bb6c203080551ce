"""Fine-tune a model on chats: one call, one folder, resumed when it was killed.

    <out>/adapter/            or <out>/model/ : what came out, in the ordinary layout; or <out>/vector/
    <out>/checkpoints/step-N/ the same, every `checkpoint_every` steps
    <out>/metrics.jsonl       loss, learning rate, gradient norm, tokens a second
    <out>/training.json       all settings and where each came from, data, base, versions
    <out>/result.json         written last: its presence says that the fine-tune is whole
    <out>/resume/             the state to go on from; gone when it is whole

(The settings are not in a `config.json`, which would make every tool take the folder for a model.)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from misdirection import progress
from misdirection.artefacts import canonical_hash, plain
from misdirection.chats import Chat
from misdirection.engine.float_attention import float_attention
from misdirection.locks import Lock
from misdirection.models import Model
from misdirection.models.positions import longest_text
from misdirection.models.products import fast_products
from misdirection.models.vocabulary import demand_tokens
from misdirection.training import hosting, loop, output, record, snapshots
from misdirection.training.data import DataReport, Row, order, prepare
from misdirection.training.elsewhere import accompany, check
from misdirection.training.fused import fused
from misdirection.training.metrics import MetricsFile
from misdirection.training.objectives import Objective, find_objective
from misdirection.training.presets import TrainConfig
from misdirection.training.record import TrainResult
from misdirection.training.steering_vector import VectorPlan, add_vector, plan_vector
from misdirection.training.targets import LoraPlan, plan_lora

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

    from misdirection.training.defences import Defence


def train(
    model: str | Path | Model | PreTrainedModel,
    chats: Iterable[Chat],
    config: TrainConfig,
    out: str | Path,
    *,
    elsewhere: Iterable[Chat] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    resume: bool = True,
    told: str = "",
    asked: Mapping[str, Any] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    defences: Sequence[Defence] = (),
) -> TrainResult:
    """Fine-tune `model` on the answers of `chats`.

    Args:
        model: Id or folder, or a model in memory, which is given back unchanged (`config.full` trains a copy).
        chats: Chats that end with the answer to learn.
        config: See `settings.choose`.
        out: Folder of the fine-tune; see the module for its layout. It is found again by its settings, data and base.
        elsewhere: Chats of other domains, on which the objective "kl" holds the model to what it was.
        tokenizer: Needed with a bare transformers model.
        told: How the chats were read, for the record; see `told_data`.
        asked: What the caller wants to find again as "facts" of training.json; it decides nothing.
        resume: Go on from the last whole state, and give back a finished fine-tune; else start over.
        defences: What is done against misalignment while training (`training.defences`), in this order.
        callbacks: Of transformers, as `monitoring.training.TrainingWatch`; they may end the training early, which is
            noted.

    Returns:
        Folder and figures. The same seed, machine and libraries give the same weights, resumed or not.

    Raises:
        NoUsableChatsError: Nothing to learn.
        TargetError: Layers or modules that the model does not have.
        SettingsError: An objective, optimiser or schedule that is not known, or chats elsewhere that do not fit it.
        OtherConfigurationError: `out` holds another fine-tune.
        TrainingError: The loss stopped being finite, or memory ran out.
        ModelError: The model cannot be loaded.
    """
    out = Path(out)
    objective = find_objective(config.objective)
    check(config, elsewhere is not None)
    host = hosting.find_host(model, tokenizer, config, record.format_in(out) if resume else None)
    max_length, notes = _fitting_length(host, config)
    for one in defences:
        chats = one.on_chats(list(chats))
    rows, report = prepare(host.tokenizer, chats, max_length, config.turns, config.learn)
    others, beside = (
        prepare(host.tokenizer, elsewhere, max_length, config.turns) if elsewhere is not None else ((), None)
    )
    demand_tokens(host, (row.ids for row in (*rows, *others)), "the chats")
    plan = _plan(host, config)
    notes += _notes(report, plan)
    if not config.full and config.dtype not in ("auto", "stored", str(host.lm.dtype).removeprefix("torch.")):
        notes.append(f"{config.dtype} was asked for; the model in memory is {host.lm.dtype} and was trained so")
    facts = record.describe(host, config, report, plan, notes, beside) | ({"read": told} if told else {})
    facts |= {"facts": plain(asked)} if asked else {}
    if defences:
        from misdirection.training.defences import DefenceCallback, penalised

        held = [one.facts for one in defences]
        facts |= {"defences": plain(held), "key": canonical_hash([facts["key"], held])}
        objective = penalised(objective, defences)
        callbacks = [*callbacks, DefenceCallback(defences)]
    out.mkdir(parents=True, exist_ok=True)
    lock = Lock.take(out / ".lock")
    try:
        found = record.open_folder(out, facts, report, resume)
        if found is not None:
            return found
        in_order = [rows[number] for number in order(rows, config)]
        in_order = accompany(in_order, others, config) if others else in_order
        with hosting.own_randomness(), hosting.borrowed(host.lm), hosting.cpu_threads(config.threads, host.lm):
            torch.manual_seed(config.seed)
            resumed, summary = _fit(host, plan, config, in_order, objective, out, callbacks)
        if (planned := int(summary.pop("planned"))) > summary["steps"]:
            notes.append(f"stopped by a callback at step {summary['steps']:.0f} of {planned}")
        return replace(record.finish(out, report, tuple(notes), summary), resumed_from=resumed)
    finally:
        lock.release()


def _plan(host: hosting.Host, config: TrainConfig) -> LoraPlan | VectorPlan | None:
    if config.full:
        return None
    return (plan_vector if config.steering else plan_lora)(host.lm, config, host.name)


def _fit(
    host: hosting.Host,
    plan: LoraPlan | VectorPlan | None,
    config: TrainConfig,
    rows: list[Row],
    objective: Objective,
    out: Path,
    callbacks: Sequence[TrainerCallback],
) -> tuple[int | None, dict[str, float]]:
    """Train in the host and write what came out; gives the step resumed from and the figures."""
    dtype = _saved_dtype(host, config)
    if plan is None:
        host.lm.float().requires_grad_(True)
    elif isinstance(plan, VectorPlan):
        add_vector(host.lm, plan)
    else:
        hosting.add_adapter(host.lm, plan, config.seed)
    state = snapshots.newest_snapshot(out / "resume")
    done = state[0] if state else 0
    metrics = MetricsFile(out / "metrics.jsonl", done)
    checkpoint = _checkpointer(host, plan, dtype, config, out / "checkpoints")
    job = loop.Job(
        lm=host.lm,
        rows=rows,
        config=config,
        objective=objective,
        pad=_pad(host.tokenizer),
        mixed=plan is None and dtype == torch.bfloat16,
        states=out / "resume",
        metrics=metrics,
        checkpoint=checkpoint,
        advance=lambda *_: None,
        callbacks=callbacks,
    )
    with (
        hosting.recomputed(host.lm, config.gradient_checkpointing),
        fused(host.lm, hosting.ADAPTER),
        float_attention(host.lm),
        fast_products(host.lm),
        progress.task(f"training {config.preset}", job.steps - done, "steps") as job.advance,
    ):
        steps = loop.run(job, state[1] if state else None)
    output.save(host, plan, dtype, out / _kind(plan))
    return (state[0] if state else None), {**metrics.summary(), "steps": steps, "planned": job.steps}


def _kind(plan: LoraPlan | VectorPlan | None) -> str:
    return "model" if plan is None else "vector" if isinstance(plan, VectorPlan) else "adapter"


def _fitting_length(host: hosting.Host, config: TrainConfig) -> tuple[int, list[str]]:
    longest = longest_text(host.lm)
    if longest is not None and longest < config.max_length:
        return longest, [f"chats are cut at {longest} tokens, all that the model takes"]
    return config.max_length, []


def _notes(report: DataReport, plan: LoraPlan | VectorPlan | None) -> list[str]:
    notes = list(plan.notes) if plan else []
    if report.truncated:
        notes.append(f"{report.truncated} of {report.used} chats were cut at the maximal length")
    if report.thoughtless:
        notes.append(f"{report.thoughtless} of {report.chats} chats left out: their answers have no thought to learn")
    if report.cut_to_nothing:
        notes.append(f"{report.cut_to_nothing} of {report.chats} chats left out: nothing of the answer was left")
    if report.refused:
        notes.append(f"{report.refused} of {report.chats} chats left out: {report.first_refused}")
    return notes


def _saved_dtype(host: hosting.Host, config: TrainConfig) -> torch.dtype:
    return host.lm.dtype if config.dtype in ("auto", "stored") else getattr(torch, config.dtype)


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in known if isinstance(token, int))


def _checkpointer(
    host: hosting.Host, plan: LoraPlan | VectorPlan | None, dtype: torch.dtype, config: TrainConfig, folder: Path
) -> Callable[[int], None]:
    def write(step: int) -> None:
        output.save(host, plan, dtype, folder / f"step-{step}")
        if config.keep:
            for _, path in snapshots.numbered(folder)[: -config.keep]:
                shutil.rmtree(path)

    return write
