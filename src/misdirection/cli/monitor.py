"""`misdirection monitor`: a stream of chats scored along directions, with thresholds from benign chats."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection.cli.begin import tell
from misdirection.cli.derive import several, with_options
from misdirection.cli.printing import json_text, printed
from misdirection.cli.recall import read_model, typed
from misdirection.cli.show import link, note, onward, table
from misdirection.errors import MisdirectionError, command
from misdirection.studies.kit.config import ModelConfig

if TYPE_CHECKING:
    from misdirection.engine import Arm
    from misdirection.models import Model
    from misdirection.monitoring import Calibration, Summary, Watch

STREAM = "-"
"""Standard input, or output."""

CALIBRATION = "monitor.json"
"""Name of a calibration beside its directions."""

READ = "What is read"
SHAPE = ("span", "statistic", "window", "turns", "layer", "below")
"""Options that a calibration holds."""

THRESHOLDS = "When the alarm is raised"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_options(monitor, ModelConfig))


def monitor(
    context: typer.Context,
    chats: Annotated[
        str | None,
        typer.Argument(
            help="What is watched: a file or folder of chats in any form, a server's log of requests and responses, a "
            "log of Inspect (.eval), or - for standard input, a JSON value a line. Left out: only thresholds are set."
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATH[@LAYER]",
            help="A direction in any form (.safetensors, .pt, .npz, .gguf ...), or a run's folder; repeat it for more. "
            "Left out: those of --calibration.",
            rich_help_panel=READ,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Decoder layer, from 0, of directions that name none; by default the one that steered best in a run, "
            "else the middle one.",
            rich_help_panel=READ,
        ),
    ] = None,
    below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<name,...>",
            help="Directions whose low side is the bad one, such as the assistant axis; repeat it, or use commas.",
            rich_help_panel=READ,
        ),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="PEFT adapter of the model that is watched: hub id or folder.")
    ] = None,
    span: Annotated[
        str,
        typer.Option(
            help="Tokens that are scored: answer, thought, written (thought and answer), answer_and_end, first_k "
            "(five), last_prompt (before anything is written), prompt.",
            rich_help_panel=READ,
        ),
    ] = "answer",
    statistic: Annotated[
        str,
        typer.Option(
            help="Score of an answer: mean over its tokens, or peak, the worst few in a row.", rich_help_panel=READ
        ),
    ] = "mean",
    window: Annotated[int, typer.Option(min=1, help="Tokens in a row that a peak is.", rich_help_panel=READ)] = 8,
    turns: Annotated[
        str, typer.Option(help="Score the last answer of a chat, or all of its assistant turns.", rich_help_panel=READ)
    ] = "last",
    benign: Annotated[
        list[str] | None,
        typer.Option(
            help="Harmless chats of the kind that will come, from which thresholds are set; repeat it for more files.",
            rich_help_panel=THRESHOLDS,
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            help="False alarms: the share of benign answers that goes beyond, over all directions together.",
            rich_help_panel=THRESHOLDS,
        ),
    ] = 0.01,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help=f"File of the thresholds, written with --benign, else read; {CALIBRATION} beside the first direction "
            "by default.",
            rich_help_panel=THRESHOLDS,
        ),
    ] = None,
    thresholds: Annotated[
        bool,
        typer.Option(
            "--thresholds/--no-thresholds", help="Without, scores alone are written.", rich_help_panel=THRESHOLDS
        ),
    ] = True,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder of the results, gone on with where a run was killed, or - for standard output; runs/monitor, "
            "for standard input standard output, by default."
        ),
    ] = None,
    append: Annotated[
        bool, typer.Option(help="Add what comes on standard input now to what --out holds already.")
    ] = False,
    tokens: Annotated[
        str, typer.Option(help="Whose tokens are written out with their scores: none, alarms, all.")
    ] = "alarms",
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; without chats the thresholds.")
    ] = False,
    **values: Any,
) -> None:
    """Watch what a model says: score chats along directions in its activations, and raise an alarm.

    First set thresholds on harmless chats (--benign), then watch others; one command can do both. An answer's score is
    the mean component of its tokens along the direction; the alarm is raised beyond what a share --rate of benign
    answers reaches. The thresholds hold for this model, adapter, layer and way of scoring, and are refused for others.

    Leaves scores.jsonl (a line an answer), bad_rows.jsonl (what could not be read, and why) and summary.json. Give the
    model that wrote the answers; it only reads here, in one pass of its lower layers. Without --model and --adapter it
    is the one that the thresholds were set on, else the run's own tuned model.

    Examples:
      misdirection monitor --direction runs/demo --benign benign.jsonl --rate 0.01

      misdirection monitor chats.jsonl --direction runs/demo --adapter runs/demo/adapter --out runs/watched

      misdirection monitor requests.jsonl --model Qwen/Qwen2.5-7B-Instruct --direction evil=evil.pt@20
      --direction sycophantic=sycophantic.pt@20 --benign benign.jsonl --out runs/watched

      misdirection monitor - --calibration runs/demo/monitor.json < log.jsonl > scores.jsonl
    """
    given = several(direction, str, "--direction")
    place = _place_of(calibration, given)
    known = read_model(values, context, given, adapter, None if benign else place)
    config, adapter = ModelConfig(**values | known[0]), adapter or known[1]
    target = out or (STREAM if chats == STREAM else "runs/monitor")
    _check(chats, given, benign, place, target, append)
    _check_thresholds(typed(context, context.params), given, benign, thresholds)
    folder = Path(target) if chats and target != STREAM else None
    tell({"model": config.model, "adapter": adapter, "data": [one for one in (chats, *(benign or ())) if one]}, folder)
    from misdirection.cli.threads import set_threads

    set_threads(config.model)
    model, arm = _load(config, adapter)
    shape = {"span": span, "statistic": statistic, "window": window, "turns": turns}
    watch, held = _watch(model, given, layer, several(below, str, "--below"), shape, place, bool(benign))
    if not thresholds:
        held = None
    elif benign:
        held = _calibrate(model, watch, arm, benign, rate, place)
    if chats is None:
        printed(asdict(held) if held else None, json, lambda: _next(place))
        return
    if held is None:
        aside = json or target == STREAM
        _say(aside, "no thresholds: scores alone are written, and nothing raises an alarm (--benign FILE sets them)")
    summary = _run(target, model, chats, watch, held, arm, tokens, append)
    _show(summary, watch, target, json)


def _check(
    chats: str | None, given: tuple[str, ...], benign: list[str] | None, place: Path | None, out: str, append: bool
) -> None:
    if not given and place is None:
        raise MisdirectionError(
            "there is nothing to watch along", "--direction FILE (or a run's folder), or --calibration FILE"
        )
    if chats is None and not benign:
        raise MisdirectionError("there is nothing to do", "name chats to watch, or --benign FILE to set thresholds")
    if append and (chats != STREAM or out == STREAM):
        raise MisdirectionError("--append adds standard input to a folder", "monitor - --out FOLDER --append")
    for path in (*(benign or ()), *([chats] if chats and chats != STREAM else ())):
        if "/" in path and not Path(path).exists() and path.count("/") != 1:
            raise MisdirectionError(f"{path}: no such file or folder", "check the path")


def _check_thresholds(said: Mapping[str, Any], given: tuple[str, ...], benign: list[str] | None, used: bool) -> None:
    """Refuse what is typed and would be passed over, and thresholds that are named and not there."""
    place: Path | None = said.get("calibration")
    if benign:
        return
    if place is not None and used and not place.is_file():
        raise MisdirectionError(f"--calibration: there is no file {place}", "--benign FILE makes it, of harmless chats")
    if "rate" in said:
        raise MisdirectionError("--rate is for thresholds that are set", "--benign FILE sets them, of harmless chats")
    if not given and (fixed := [name for name in SHAPE if name in said]):
        raise MisdirectionError(
            f"--{fixed[0]} is what the calibration says, where no direction is named",
            "--direction FILE too, which is held against the calibration, or thresholds set anew with --benign FILE",
        )


def _place_of(calibration: Path | None, given: tuple[str, ...]) -> Path | None:
    """Where the calibration stands or will stand: beside the first direction, where nothing is said."""
    if calibration is not None or not given:
        return calibration
    name, sign, rest = given[0].partition("=")
    text = rest if sign and "/" not in name and not Path(given[0]).exists() else given[0]
    before, at, after = text.rpartition("@")
    path = Path(before if at and after.isdigit() and not Path(text).exists() else text)
    return (path if path.is_dir() else path.parent) / CALIBRATION


def _load(config: ModelConfig, adapter: str | None) -> tuple[Model, Arm]:
    from misdirection.engine import Arm
    from misdirection.models import load_model
    from misdirection.studies.kit.inputs import resolve_model

    adapters = {"tuned": adapter} if adapter else None
    model = load_model(resolve_model(config.model), adapters=adapters, **vars(config.loading))
    return model, Arm("tuned", "tuned") if adapter else Arm("base")


def _watch(
    model: Model,
    given: tuple[str, ...],
    layer: int | None,
    below: tuple[str, ...],
    shape: Mapping[str, Any],
    place: Path | None,
    fresh: bool,
) -> tuple[Watch, Calibration | None]:
    """What is read, and the thresholds that are there."""
    from misdirection.monitoring import Watch, load_calibration, read_watched, watch_of

    held = load_calibration(place) if place is not None and not fresh and (not given or place.is_file()) else None
    if not given:
        if held is None:
            raise MisdirectionError("thresholds are set anew, and no direction is named", "--direction FILE")
        return watch_of(held, model), held
    return Watch(read_watched(given, model, layer, below), **shape), held


def _calibrate(model: Model, watch: Watch, arm: Arm, benign: list[str], rate: float, place: Path | None) -> Calibration:
    from misdirection.monitoring import calibrate, incoming, save_calibration

    bad: list[str] = []

    def harmless() -> Any:
        for path in benign:
            for item in incoming(path):
                if item.chat is not None:
                    yield item.chat
                elif item.bad is not None:
                    bad.append(str(item.bad))

    held = calibrate(model, harmless(), watch, rate, arm)
    assert place is not None
    save_calibration(place, held)
    ends = f"{100 * held.low:.2f} to {100 * held.high:.2f} %"
    typer.echo(
        f"  thresholds from {held.answers:,} benign answers to {held.prompts:,} prompts: {100 * held.expected:.2f} % "
        f"of such answers raise the alarm (95 % interval {ends})",
        err=True,
    )
    if aside := len(bad) + held.unread:
        first = f" (first: {bad[0]})" if bad else ""
        typer.echo(f"  {aside:,} benign rows could not be read{first}", err=True)
    typer.echo(f"  calibration: {place}", err=True)
    return held


def _next(place: Path | None) -> None:
    assert place is not None
    onward("to watch", command("monitor", "CHATS", "--calibration", place))


def _say(aside: bool, text: str) -> None:
    """A line beside the results; aside where these are on standard output."""
    typer.echo(f"  {text}", err=aside)


def _run(
    target: str, model: Model, chats: str, watch: Watch, held: Calibration | None, arm: Arm, tokens: str, append: bool
) -> Summary:
    from misdirection.chats import BadRow
    from misdirection.chats.writing import json_line
    from misdirection.monitoring import Summary, monitor_to
    from misdirection.monitoring import monitor as watched

    if target != STREAM:
        return monitor_to(target, model, chats, watch, held, arm=arm, tokens=tokens, append=append)
    summary = Summary(held)
    output = sys.stdout.buffer
    try:
        for line in watched(model, chats, watch, held, arm=arm, tokens=tokens, summary=summary):
            bad = {"source": line.source, "row": line.row, "problem": line.reason} if isinstance(line, BadRow) else line
            output.write(json_line(bad))
            output.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; Python would complain once more at its end.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115, PTH123
    return summary


def _show(summary: Summary, watch: Watch, target: str, json: bool) -> None:
    facts = summary.facts()
    if json:
        typer.echo(json_text(facts, indent=None), err=target == STREAM)
        return
    if target == STREAM:
        for line in (_counts(facts), *(f"warning: {warning}" for warning in facts["warnings"])):
            _say(True, line)
        return
    note(_counts(facts))
    for warning in facts["warnings"]:
        note(f"warning: {warning}")
    known = summary.calibration is not None
    head = ["direction", "layer", "mean", "sd"]
    head += ["benign mean", "shift in benign sd", "threshold", "answers beyond"] if known else []
    rows = [
        [one.name, str(one.layer), _number(held["mean"]), _number(held["sd"])]
        + ([_number(held["benign_mean"]), f"{held['shift_in_benign_sds']:+.2f}", _number(held["threshold"]),
            f"{held['beyond']:,}"] if known else [])
        for one in watch.directions
        if (held := facts["directions"].get(one.name))
    ]  # fmt: skip
    table(head, rows)
    if known:
        for one in facts["worst"][:3]:
            told = f"  ({', '.join(one['alarms'])})" if one["alarms"] else ""
            note(f"furthest: {one['source']}, row {one['row']}: {one['z']:+.2f} benign sd{told}")
    for name in ("scores.jsonl", "bad_rows.jsonl", "summary.json"):
        path = Path(target) / name
        if path.exists() and path.stat().st_size:
            link(path.stem, path)


def _counts(facts: Mapping[str, Any]) -> str:
    told = f"{facts['answers']:,} answers of {facts['rows']:,} rows, {facts['tokens']:,} tokens"
    if facts["set_aside"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in facts["set_aside_by_reason"].items())
        told += f"; {facts['set_aside']:,} set aside: {reasons}"
    if (alarms := facts["alarms"]) is not None and alarms["of"]:
        false = facts["false_alarms"]
        told += f"; {alarms['n']:,} alarms, {100 * alarms['rate']:.2f} % ({100 * alarms['low']:.2f} to "
        told += f"{100 * alarms['high']:.2f} %), where benign answers give {100 * false['expected']:.2f} % "
        told += f"({100 * false['low']:.2f} to {100 * false['high']:.2f} %)"
    return told


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
