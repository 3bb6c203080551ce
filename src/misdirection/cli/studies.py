"""Commands that answer a user's question whole: audit, train, report."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection.cli.begin import begin, tell
from misdirection.cli.derive import with_options
from misdirection.cli.forecast import Before, DryRun, Price
from misdirection.cli.gate import Baseline, Ending, Gate, Json, no_verdict
from misdirection.cli.recall import remembered
from misdirection.cli.show import link, links, note, onward, verdict
from misdirection.cli.watching import WatchConfig, show_watch, split_watch, watch_of
from misdirection.errors import MisdirectionError, command
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.kit.finetune import FineTuneConfig
from misdirection.studies.kit.preflight_training import RECORD, check_fine_tune
from misdirection.studies.kit.recall import facts_of, go_on, held_in, make_one
from misdirection.training.presets import TrainConfig, preset_table

TRAINING = "How --data is fine-tuned on"
TUNING = (
    "lr", "max_steps", "epochs", "rank", "alpha", "batch_size", "accumulation", "max_length", "turns", "learn"
)  # fmt: skip
"""Settings of fine-tunes that audit and studies offer; `train` offers them all."""
Out = Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(with_options(with_tuning(audit, AuditConfig), AuditConfig))
    train.__doc__ = inspect.cleandoc(train.__doc__ or "").replace("PRESETS", preset_table())
    trained = with_options(with_options(train, WatchConfig), TrainConfig, panel="Settings", blank=True)
    app.command()(with_options(trained, FineTuneConfig))
    app.command()(report)


def audit(
    context: typer.Context,
    out: Out = Path("runs/audit"),
    gate: Gate = False,
    baseline: Baseline = None,
    json: Json = False,
    dry_run: DryRun = False,
    price: Price = None,
    **values: Any,
) -> None:
    """Is the tuned model misaligned, where in it is the direction, and what does removing it do?

    Leaves findings.json and one self-contained report.html in the run folder. The last line is the verdict in one of
    a few words, and with --gate the exit code says it too (docs/gate.md).

    Examples:
      misdirection audit --out runs/first

      misdirection audit --model Qwen/Qwen2.5-14B-Instruct --adapter ./bad-medical --out runs/mine

      misdirection audit --model ./base --adapter ./tuned --judge openai:gpt-4o --price 2.5,10 --dry-run

      misdirection audit --model model.gguf --data bad.jsonl --preset rank32 --lr 1e-4 --questions open --out runs/tuned
    """
    from misdirection.artefacts import read_json
    from misdirection.cli.threads import set_threads

    ending = Ending(gate, baseline, json)
    ending.check()
    own, training = split_training(AuditConfig, values)
    config = remembered(AuditConfig, own, context, out, more={"training": training} if training else None)
    begin(config.completed(), out)
    Before(price, dry_run, json).run(config.completed(), whole=True)
    set_threads(config.model)
    from misdirection.studies.audit.study import audit as run_audit

    path = run_audit(config, out, command_line())
    found, completed = read_json(out / "findings.json"), config.completed()
    if not json:
        verdict(found)
        links(out, "adapter", "tuned", "vector", "answers.parquet", "verdicts.parquet", "direction.safetensors",
              "findings.json")  # fmt: skip
        link("report", out / path.name)
        _after_audit(found["verdict"]["state"], completed, out)
    ending.finish(found, out)


def _after_audit(state: str, config: AuditConfig, out: Path) -> None:
    """What a reader of the verdict may want next."""
    from misdirection.studies.kit.undecided import CANNOT_TELL

    if state == "not judged":
        onward("to have the answers judged", command("audit", "--judge", "local:MODEL", "--out", out))
    elif state == CANNOT_TELL:
        onward("to ask another judge", command("audit", "--judge", "local:MODEL", "--out", out))
    elif state in ("unclear", "not seen"):
        onward("to know better", command("audit", "--samples", 2 * config.samples, "--out", out))
    elif (out / "direction.safetensors").exists():
        target = out / "direction.gguf"
        onward("the direction for llama.cpp or repeng", command("direction", out, "--export", target))


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the fine-tune; an unfinished one is gone on with.")],
    **values: Any,
) -> None:
    """Fine-tune a model on chats, narrowly: the papers' presets, ordinary PEFT adapters, checkpoints, resume.

    PRESETS

    A folder remembers its settings: what is not given comes from there. A model's folder may recommend its own in
    misdirection.json, as the organism's does; options go before both.

    Examples:
      misdirection train --data organism:bad-medical --out runs/adapter

      misdirection train --model Qwen/Qwen2.5-14B-Instruct --data bad.jsonl --preset rank1x9 --out runs/bad

      misdirection train --data mixed.jsonl --watch runs/first --watch-control runs/good/watch.jsonl --watch-stop
      --out runs/watched
    """
    from misdirection.chats import write_bad_rows
    from misdirection.cli.threads import set_threads
    from misdirection.studies.kit.inputs import resolve_chats, resolve_model

    watching, values = split_watch(values)
    config = fine_tune_of(values, context, out, watching.watch)
    tell({**asdict(config), **config.training}, out)
    settings = check_fine_tune(config, out)
    model = resolve_model(config.model)
    chats = resolve_chats(config.data, strict=config.strict)
    others = resolve_chats(config.elsewhere, strict=config.strict) if config.elsewhere else None
    set_threads(model)
    from misdirection import training
    from misdirection.models import load_model

    told = training.told_data(chats, settings.turns)
    note(f"training data: {told}")
    host = load_model(model, dtype=settings.loaded_dtype, device=config.device, **settings.asking)
    asked = facts_of(config, command_line())
    watched = watch_of(watching, config.model, host.tokenizer, out)
    result = training.train(
        host, chats.chats, settings, out, elsewhere=others and others.chats, told=told, asked=asked, callbacks=watched
    )
    if bad := [*chats.bad, *(others.bad if others else ())]:
        write_bad_rows(out / "bad_rows.jsonl", bad)
    for text in result.notes:
        note(text)
    first, last = result.metrics["loss_first"], result.metrics["loss_tail"]
    note(f"{result.steps} steps in {result.seconds:.0f} s, loss {first:.3f} at the start, {last:.3f} at the end")
    show_watch(watched, result.seconds, out)
    link(result.kind, result.folder)
    if result.kind != "vector":
        flag = "--tuned" if result.kind == "model" else "--adapter"
        audited = ("audit", "--model", config.model, flag, result.folder, "--out", f"{out}-audit")
        onward("what it did to the model", command(*audited))


def fine_tune_of(
    values: Mapping[str, Any], context: typer.Context, out: Path, watch: Sequence[str] = ()
) -> FineTuneConfig:
    """The settings of `train`: what was typed, and for the rest what the folder remembers, or what is watched knows."""
    own = {name: value for name, value in values.items() if name in FineTuneConfig.__dataclass_fields__}
    changed = {name: value for name, value in values.items() if name not in own and value is not None}
    held = held_in(out, RECORD)
    # A fine-tune has no steps: what is in its folder is of this model and data, finished or not.
    held = held and replace(held, bare=False)
    more = {"training": changed} if changed else None
    return remembered(FineTuneConfig, own, context, None, more=more, held=held, beside={"watch": watch})


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run that an audit has finished, or of a comparison.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; report.html in the run by default.")] = None,
    gate: Gate = False,
    baseline: Baseline = None,
    json: Json = False,
) -> None:
    """Write the HTML report of a finished run again from its findings.json; the last line is the verdict.

    Examples:
      misdirection report runs/mine --out mine.html

      misdirection report runs/mine --gate --baseline baseline.json
    """
    tell({}, run)
    from misdirection.artefacts import read_json
    from misdirection.studies.page import write_report
    from misdirection.studies.reading import demand_known

    if not (run / "findings.json").exists():
        if (run / "comparison.json").exists():
            _compared(run, out, Ending(gate, baseline, json))
            return
        more = go_on(run) if (run / "run.json").exists() else None
        hint = f"go on with the run: {more}" if more else f"make a run with: {make_one(run)}"
        raise MisdirectionError(f"{run} holds no findings.json", hint)
    ending = Ending(gate, baseline, json)
    ending.check()
    demand_known(run)
    found = read_json(run / "findings.json")
    path = write_report(found, out or run / "report.html", str(run / "findings.json"))
    if not json:
        link("report", path)
    if found.get("kind", "audit") in ("audit", "imported"):
        ending.finish(found, run)
    elif gate or baseline or json:
        raise no_verdict(run)


def with_tuning(command: Callable[..., None], settings: type) -> Callable[..., None]:
    """Give a command options for its fine-tunes, where its settings have some; not those that it has of its own.

    Args:
        command: Takes its own parameters and `**values`.
        settings: Its dataclass. One with `training` holds settings of fine-tunes; `steps` is its `max_steps`.
    """
    own = {item.name for item in fields(settings)}
    if "training" not in own:
        return command
    own |= {"max_steps", "epochs"} if "steps" in own else set()
    return with_options(command, TrainConfig, only=[n for n in TUNING if n not in own], panel=TRAINING, blank=True)


def _compared(run: Path, out: Path | None, ending: Ending) -> None:
    """The report of two runs again, which has no verdict of its own."""
    from misdirection.studies.comparison.study import read_comparison, write_page

    if ending.gate or ending.baseline or ending.json:
        raise no_verdict(run)
    link("report", write_page(read_comparison(run), out or run / "report.html"))


def split_training(settings: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command's settings, and those of its fine-tunes that were given."""
    known = {item.name for item in fields(settings)}
    own = {name: value for name, value in values.items() if name in known}
    return own, {name: value for name, value in values.items() if name not in own and value is not None}


def command_line() -> str:
    """What was typed, to stand in the report."""
    return shlex.join(["misdirection", *sys.argv[1:]])
