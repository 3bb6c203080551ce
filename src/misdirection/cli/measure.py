"""Commands that do one thing to a run: sample, direction, steer, ablate, sweep."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection.cli.begin import begin, begin_again
from misdirection.cli.derive import several, with_options
from misdirection.cli.forecast import Before, DryRun
from misdirection.cli.printing import Json, printed
from misdirection.cli.recall import remembered
from misdirection.cli.show import judge_note, link, links, note, onward, percent, table
from misdirection.cli.studies import command_line
from misdirection.errors import MisdirectionError, command
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.kit.config import CONVENTIONS

if TYPE_CHECKING:
    from misdirection.directions import Direction
    from misdirection.studies.audit.workbench import Workbench
    from misdirection.studies.kit.conditions import Condition
    from misdirection.studies.kit.judged import Judged

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run made by sample or audit.")]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Answers a question and arm; the run's own number by default.")
]
DirectionFile = Annotated[
    Path | None,
    typer.Option(
        "--direction",
        help="Another direction than the run's: .safetensors, .pt, .npz, .npy, a control vector (.gguf), or a folder "
        "of published mean hidden states.",
    ),
]
DirectionLayer = Annotated[
    int | None, typer.Option(min=0, help="Layer of the one vector of --direction, where it does not say.")
]
Layer = Annotated[int, typer.Option(min=0, help="Decoder layer, from 0.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    left_out = {"adapter", "preset", "data", "strict", "training"}
    names = [name for name in AuditConfig.__dataclass_fields__ if name not in left_out]
    app.command()(with_options(sample, AuditConfig, only=names))
    for one in (direction, steer, ablate, sweep):
        app.command()(one)


@contextmanager
def reopened(run: Path, **changes: Any) -> Generator[Workbench]:
    """The bench of a run, with some settings changed."""
    from misdirection.cli.threads import set_threads
    from misdirection.studies.audit.workbench import Workbench

    with Workbench.reopen(run, command_line(), **changes) as bench:
        set_threads(bench.config.model)
        yield bench


def sample(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")],
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FOLDER",
            help="PEFT adapter, hub id or folder, called tuned; several, each with a name of its own, by repeating it.",
        ),
    ] = None,
    dry_run: DryRun = False,
    **values: Any,
) -> None:
    """Sample answers of a base model and of what was made of it to every question, with shared random numbers.

    Examples:
      misdirection sample --model Qwen/Qwen2.5-7B-Instruct --adapter ./adapter --questions open --out runs/mine

      misdirection sample --model ./base --adapter bad=./bad --adapter good=./good --questions open --out runs/two
    """
    from misdirection.cli.threads import set_threads

    named_adapters = adapters_of(several(adapter, str, "--adapter"))
    config = remembered(SampleConfig, values, context, out, more=named_adapters)
    begin(config.completed(), out)
    Before(dry_run=dry_run).run(config.completed(), whole=False)
    set_threads(config.model)
    from misdirection.studies.audit.workbench import Workbench
    from misdirection.studies.kit.judged import load_answers

    with Workbench.open(out, config, command_line()) as bench:
        answers = load_answers(bench.answers)
        for answer in [a for a in answers if a.sample == 0][:6]:
            note(f"[{answer.arm}] {answer.question}\n      {answer.answer[:160]}")
        link(f"{len(answers)} answers", out / "answers.parquet")
        judge = () if bench.config.judge != "none" else ("--judge", "offline")
        onward("who is misaligned", command("judge", out, *judge))


def adapters_of(specs: Sequence[str]) -> dict[str, Any]:
    """The settings that --adapter names: one adapter, or several by name; what is not named counts as not given."""
    if not specs:
        return {}
    if (len(specs) == 1 and "=" not in specs[0]) or Path(specs[0]).exists():
        return {"adapter": specs[0]}
    return {"adapters": specs}


def direction(
    run: RunFolder,
    convention: Annotated[
        str | None,
        typer.Option(help=f"How answers become a direction: {', '.join(CONVENTIONS)}; the run's own by default."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write it for other tools too: .gguf (llama.cpp, repeng), .npz, .npy or .safetensors."),
    ] = None,
    json: Json = False,
) -> None:
    """The misalignment direction: misaligned minus aligned answers of the tuned model, at every layer.

    Examples:
      misdirection direction runs/mine

      misdirection direction runs/mine --export direction.gguf
    """
    begin_again(run)
    from misdirection.directions import export_direction
    from misdirection.studies.kit.own_direction import direction_of

    with reopened(run, convention=convention) as bench:
        if bench.refusal:
            raise MisdirectionError(f"there is no misalignment direction: {bench.refusal}")
        found = direction_of(bench.direction)
        told = "" if export is None else export_direction(export, found, bench.model_type)
        facts = {"layers": _by_layer(found), "facts": found.facts, "direction": run / "direction.safetensors"}
        printed({**facts, "export": export}, json, lambda: _show_direction(found, run, export, told))


def _by_layer(found: Direction) -> list[dict[str, float]]:
    columns = {"norm": found.norm, "norm_low": found.norm_low, "norm_high": found.norm_high,
               "shuffled_norm": found.shuffled_norm, "stability": found.stability}  # fmt: skip
    return [
        {"layer": layer, **{name: float(column[layer]) for name, column in columns.items()}}
        for layer in range(len(found.vectors))
    ]


def _show_direction(found: Direction, run: Path, export: Path | None, told: str) -> None:
    rows = [
        [str(r["layer"]), f"{r['norm']:.3f}", f"{r['norm_low']:.3f} to {r['norm_high']:.3f}",
         f"{r['shuffled_norm']:.3f}", f"{r['stability']:.2f}"]
        for r in _by_layer(found)
    ]  # fmt: skip
    table(["layer", "norm", "95 % interval", "shuffled labels, 95 %", "cosine of halves"], rows)
    links(run, "direction.safetensors")
    if export is not None:
        if told:
            note(f"{export} holds {told}")
        link("export", export)
    onward("what steering along it does", command("sweep", run))


def steer(
    run: RunFolder,
    layer: Layer,
    coefficient: Annotated[float, typer.Option(help="Multiple of the direction that is added.")],
    samples: Samples = None,
    direction_file: DirectionFile = None,
    direction_layer: DirectionLayer = None,
    json: Json = False,
) -> None:
    """Steer the base model along the run's direction at one layer, beside a random direction of the same norm.

    With --direction FILE along that one instead, whatever the run is of.

    Examples:
      misdirection steer runs/mine --layer 14 --coefficient 2

      misdirection steer runs/mine --layer 14 --coefficient 2 --direction theirs.gguf
    """
    begin_again(run)
    from misdirection.studies.kit.conditions import BASE, steering_point

    points = [steering_point(layer, coefficient), steering_point(layer, coefficient, random_seed=1)]
    with reopened(run) as bench:
        _take(bench, direction_file, direction_layer, (layer,), layer)
        judged = bench.measure("steer", [BASE, *points], samples or bench.config.samples)
        _print(bench, judged, [BASE, *points], run, "steer", json)


def ablate(
    run: RunFolder,
    layer: Annotated[int, typer.Option(min=0, help="Layer whose vector the single-direction arms use everywhere.")],
    samples: Samples = None,
    direction_file: DirectionFile = None,
    direction_layer: DirectionLayer = None,
    dictionary: Annotated[
        str | None,
        typer.Option(
            help="Sparse autoencoder whose latents are held at 0 too: a folder, <release>:<id> of a public set, or "
            "organism:<layer>; the run's own by default."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Remove the run's direction from the tuned model: projected out, set to the aligned mean, capped; with controls.

    Capping takes off what lies above what the base model's own answers show. With --direction FILE that direction
    instead; without its aligned mean it is projected out and capped alone. With --dictionary the latents that are more
    active in its misaligned answers, or than in the base, are held at 0 too, beside random ones of like activity.

    Examples:
      misdirection ablate runs/mine --layer 14

      misdirection ablate runs/mine --layer 14 --dictionary RELEASE:ID
    """
    begin_again(run)
    from misdirection.studies.kit.conditions import REMOVALS, TUNED, at_layers, cures
    from misdirection.studies.kit.judged import Judged

    with reopened(run, dictionary=dictionary) as bench:
        bench.need_tuned()
        found = _take(bench, direction_file, direction_layer, (layer,), layer)
        if bench.refusal:
            raise MisdirectionError(f"there is no misalignment direction: {bench.refusal}")
        ways, left = dict.fromkeys(REMOVALS, layer), list[str]()
        if found is not None and found.vectors_only:
            del ways["set"]
            left.append(f"{direction_file} holds no aligned mean: the arms that set the component to it are left out")
        arms = [TUNED, *cures(ways, bench.caps([layer]))]
        if found is not None:
            arms = [at_layers(arm, found.layers) for arm in arms]
        judged = bench.measure("cures", arms, samples or bench.config.samples)
        held, why = _held(bench)
        if held:
            more = bench.measure("latents-cures", held, samples or bench.config.samples)
            judged = Judged([*judged.answers, *more.answers], [*judged.verdicts, *more.verdicts])
        _print(bench, judged, [*arms, *held], run, "cures", json, (*left, *why))


def _held(bench: Workbench) -> tuple[list[Condition], tuple[str, ...]]:
    """The tuned model with latents of the run's dictionary held at 0, beside random ones; and why some could not."""
    if (lens := bench.lens) is None:
        return [], ()
    from misdirection.studies.audit.latents import holds
    from misdirection.studies.kit.conditions import RANDOM_SEEDS

    chosen = bench.latents(lens)
    return [arm for one in chosen.lists for arm in holds(lens, one, RANDOM_SEEDS)], chosen.refused


def sweep(
    run: RunFolder,
    layers: Annotated[
        list[str] | None, typer.Option(help="Layers, as 3,5 or repeated; about six over the depth by default.")
    ] = None,
    coefficients: Annotated[
        list[str] | None, typer.Option(help="Multiples of the direction, as 1,2 or repeated; the run's own by default.")
    ] = None,
    samples: Samples = None,
    direction_file: DirectionFile = None,
    direction_layer: DirectionLayer = None,
    json: Json = False,
) -> None:
    """Steer the base model at every layer and coefficient: one queue of rows, mixed in one batch.

    Example: misdirection sweep runs/mine --layers 10,14,18 --coefficients 1,2,4
    """
    begin_again(run)
    from misdirection.directions.layers import spread_layers
    from misdirection.studies.kit.conditions import BASE, steering_grid
    from misdirection.studies.kit.own_direction import direction_of

    chosen, multiples = several(layers, int, "--layers"), several(coefficients, float, "--coefficients")
    with reopened(run) as bench:
        found = _take(bench, direction_file, direction_layer, chosen)
        if bench.refusal:
            raise MisdirectionError(f"there is no misalignment direction: {bench.refusal}")
        depth = chosen or bench.config.layers or spread_layers(len(direction_of(bench.direction).vectors))
        if found is not None:
            depth = tuple(layer for layer in depth if layer in found.layers) or found.layers
        grid = [BASE, *steering_grid(depth, multiples or bench.config.coefficients)]
        judged = bench.measure("sweep", grid, samples or bench.config.sweep_samples, stream=1)
        _print(bench, judged, grid, run, "sweep", json)


def _take(
    bench: Workbench, file: Path | None, layer: int | None, used: Sequence[int], otherwise: int | None = None
) -> Direction | None:
    """Have the bench use the direction of a file, where one is given; it must have a vector at the layers used."""
    if file is None:
        return None
    found = bench.take(file, layer, otherwise)
    if empty := [layer for layer in used if layer not in found.layers]:
        held = ", ".join(map(str, found.layers))
        raise MisdirectionError(f"{file} holds no direction at layer {empty[0]}", f"it holds one at {held}")
    return found


def _print(
    bench: Workbench, judged: Judged, arms: list[Condition], run: Path, name: str, json: bool,
    notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Rates of the arms, where answers and verdicts lie, and what could follow."""
    from misdirection.results import RateRow
    from misdirection.statistics import rate, shares

    rows: list[dict[str, Any]] = []
    for condition in arms:
        pair = judged.arm(condition.name).pair
        coherent = RateRow.of_share(shares(*pair, thresholds=bench.thresholds)["coherent"])
        misaligned = RateRow.of(rate(*pair, thresholds=bench.thresholds))
        rows.append({"arm": condition.name, "label": condition.label, "control": condition.control,
                     "misaligned": vars(misaligned), "coherent": vars(coherent)})  # fmt: skip
    printed({"arms": rows, "notes": list(notes)}, json, lambda: _show(bench, rows, notes, run, name))


def _show(bench: Workbench, rows: Sequence[Mapping[str, Any]], notes: Sequence[str], run: Path, name: str) -> None:
    for text in notes:
        note(text)
    table(["", "misaligned and coherent, of all", "coherent"], [
        [row["label"] + (" (control)" if row["control"] else ""), percent(row["misaligned"]),
         f"{row['coherent']['value']:.0%}"] for row in rows
    ])  # fmt: skip
    judge_note(bench.settings())
    links(run, f"{name}-answers.parquet", f"{name}-verdicts.parquet")
    if "tuned" in {arm.name for arm in bench.arms}:
        onward("the whole audit and its report", command("audit", "--out", run))
