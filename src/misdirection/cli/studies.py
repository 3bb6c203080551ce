"""Commands that answer a user's question whole: audit, train, report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection.cli.begin import begin, tell
from misdirection.cli.derive import with_options
from misdirection.cli.recall import remembered
from misdirection.cli.show import link, note, verdict
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.studies.config import AuditConfig
from misdirection.studies.preflight import check_model
from misdirection.studies.recall import go_on, make_one
from misdirection.training.presets import PRESETS, TrainConfig

TRAINING = "How --data is fine-tuned on"
Out = Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    names = [name for name in ("lr", "max_steps", "epochs", "rank", "alpha", "batch_size", "accumulation", "turns")]
    with_training = with_options(audit, TrainConfig, only=names, panel=TRAINING, blank=True)
    app.command()(with_options(with_training, AuditConfig))
    own = ["model", "data", "strict", "device"]
    app.command()(with_options(with_options(train, TrainConfig, panel="Settings", blank=True), AuditConfig, only=own))
    app.command()(report)


def audit(context: typer.Context, out: Out = Path("runs/audit"), **values: Any) -> None:
    """Is the tuned model misaligned, where in it is the direction, and what does removing it do?

    Leaves findings.json and one self-contained report.html in the run folder.

    Examples:
      misdirection audit --out runs/first

      misdirection audit --model Qwen/Qwen2.5-14B-Instruct --adapter ./bad-medical --judge none --out runs/mine
    """
    from misdirection.artefacts import read_json
    from misdirection.cli.threads import set_threads

    own, training = split_training(values)
    config = remembered(AuditConfig, own, context, out, more={"training": training} if training else None)
    begin(config.completed(), out)
    set_threads(config.model)
    from misdirection.studies.audit import audit as run_audit

    path = run_audit(config, out, command_line())
    verdict(read_json(out / "findings.json"))
    link("report", path)


def train(
    out: Annotated[Path, typer.Option(help="Folder of the fine-tune; an unfinished one is gone on with.")],
    preset: Annotated[str, typer.Option(help="rank1, rank1x9, rank32 or full")] = "rank1x9",
    **values: Any,
) -> None:
    """Fine-tune a model on chats, narrowly: the papers' presets, ordinary PEFT adapters, checkpoints, resume.

    Examples:
      misdirection train --data organism:bad-medical --out runs/adapter

      misdirection train --model Qwen/Qwen2.5-14B-Instruct --data bad.jsonl --preset rank1x9 --out runs/bad
    """
    from misdirection.chats import write_bad_rows
    from misdirection.cli.threads import set_threads
    from misdirection.studies.inputs import resolve_chats, resolve_model

    tell({**values, "preset": preset}, out)
    check_model(values["model"], "model")
    if preset not in PRESETS:
        raise MisdirectionError(f"no preset is called '{preset}'", did_you_mean(preset, PRESETS, "presets"))
    model, data = resolve_model(values.pop("model")), values.pop("data")
    strict, device = values.pop("strict"), values.pop("device")
    if not data:
        raise MisdirectionError("nothing to train on", "give --data FILE, or --data organism:bad-medical")
    chats = resolve_chats(data, strict=strict)
    set_threads(model)
    from misdirection import training
    from misdirection.models import load_model

    settings = training.choose(preset, model=model, overrides=values)
    told = training.told_data(chats, settings.turns)
    note(f"training data: {told}")
    host = load_model(model, dtype=settings.loaded_dtype, device=device, **settings.asking)
    result = training.train(host, chats.chats, settings, out, told=told)
    if chats.bad:
        write_bad_rows(out / "bad_rows.jsonl", chats.bad)
    for text in result.notes:
        note(text)
    first, last = result.metrics["loss_first"], result.metrics["loss_tail"]
    note(f"{result.steps} steps in {result.seconds:.0f} s, loss {first:.3f} at the start, {last:.3f} at the end")
    link(result.kind, result.folder)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run that an audit has finished.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; report.html in the run by default.")] = None,
) -> None:
    """Write the HTML report of a finished run again from its findings.json."""
    from misdirection.artefacts import read_json
    from misdirection.report import write_report

    if not (run / "findings.json").exists():
        more = go_on(run) if (run / "run.json").exists() else None
        hint = f"go on with the run: {more}" if more else f"make a run with: {make_one(run)}"
        raise MisdirectionError(f"{run} holds no findings.json", hint)
    link("report", write_report(read_json(run / "findings.json"), out or run / "report.html"))


def split_training(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The audit's settings, and those of the fine-tune that were given."""
    own = {name: value for name, value in values.items() if name in AuditConfig.__dataclass_fields__}
    return own, {name: value for name, value in values.items() if name not in own and value is not None}


def command_line() -> str:
    """What was typed, to stand in the report."""
    return shlex.join(["misdirection", *sys.argv[1:]])
