"""`misdirection repair`: a model mended in its weights, as an ordinary checkpoint or adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from misdirection.cli.derive import several
from misdirection.cli.printing import Json
from misdirection.cli.repairing import ended, layer_and_factor, resolved, subject_of, told_of, vectors_of
from misdirection.errors import MisdirectionError
from misdirection.naming import each_once

app = typer.Typer(
    no_args_is_help=True,
    help="Mend a model in its weights: the result is an ordinary checkpoint or adapter, with a card of what was done.",
)

Model = Annotated[str, typer.Option(help="Base or whole tuned model: id, folder, GGUF, or organism.")]
Tuned = Annotated[str, typer.Option("--adapter", help="PEFT adapter of the fine-tune: folder or id.")]
Out = Annotated[Path, typer.Option(help="Folder to write; it must not be there.")]
File = Annotated[
    Path,
    typer.Option("--direction", help="Direction: .safetensors of a run, .pt, .npz, .npy, .gguf, or a folder of means."),
]
Layer = Annotated[
    int | None, typer.Option(min=0, help="Whose layer's vector is taken out everywhere; else each layer's own.")
]
Layers = Annotated[list[str] | None, typer.Option(help="Layers to change, as 3,5 or repeated; all by default.")]
AnyBase = Annotated[bool, typer.Option("--any-base", help="Take a direction that names another base all the same.")]
Asked = Annotated[
    list[str] | None, typer.Option("--questions", help="Question sets or files to read before and after.")
]
Measuring = Annotated[bool, typer.Option("--measure/--no-measure", help="Read the model before and after.")]


@app.command()
def project(
    direction: File,
    out: Out,
    model: Model = "",
    adapter: Tuned = "",
    layer: Layer = None,
    layers: Layers = None,
    questions: Asked = None,
    measuring: Measuring = True,
    any_base: AnyBase = False,
    json: Json = False,
) -> None:
    """Project a direction out of every matrix that writes to the residual stream: a whole model comes out.

    With --layer, that layer's vector leaves embeddings, attention and MLP of all layers, so that no token ever has a
    component along it; without, each layer stops writing along its own. An adapter is merged first.

    Examples:
      misdirection repair project --model organism --adapter runs/demo/adapter --direction
      runs/demo/direction.safetensors --layer 4 --out runs/projected

      misdirection repair project --model ./tuned --direction direction.safetensors --layer 20 --out ./repaired
    """
    from misdirection.repair.project import at_layers, everywhere

    subject, found, note_of = subject_of(model, adapter, direction, any_base)
    chosen = several(layers, int, "--layers")
    vectors, name = vectors_of(found, layer, direction)
    if layer is not None and not chosen:
        removal = everywhere(vectors[layer], len(vectors))
        what = f"Layer {layer}'s vector was projected out of all that writes to the residual stream"
    else:
        at = chosen or found.layers
        removal = at_layers(vectors, at)
        what = f"{name} was projected out of what layers {', '.join(map(str, at))} write"
    told = told_of([f"{what}: W' = (I - u u^T) W."], direction, subject, note_of, questions, measuring, vectors)
    from misdirection.repair.make import write_model

    ended(write_model(subject, out, told, removal), "--tuned", subject, json)


@app.command("set")
def set_component(
    direction: File,
    layer: Annotated[int, typer.Option(min=0, help="Whose layer's vector is set everywhere.")],
    out: Out,
    model: Model = "",
    adapter: Tuned = "",
    value: Annotated[float | None, typer.Option(help="One value for all layers.")] = None,
    values: Annotated[Path | None, typer.Option(help="JSON file with a value a layer.")] = None,
    questions: Asked = None,
    measuring: Measuring = True,
    any_base: AnyBase = False,
    json: Json = False,
) -> None:
    """Set the component along a direction to a value, everywhere: a whole model comes out.

    The value is the mean of the aligned answers at each layer unless one is given. A bias adds it, and what changes
    from layer to layer; an architecture without one (Qwen2, Mistral) is refused.

    Examples:
      misdirection repair set --model organism --adapter runs/demo/adapter --direction runs/demo/direction.safetensors
      --layer 4 --out runs/set
    """
    from misdirection.directions.levels import read_levels
    from misdirection.repair.make import write_model
    from misdirection.repair.project import everywhere

    if value is not None and values is not None:
        raise MisdirectionError("--value and --values are both given", "one value for all layers, or a file of them")
    subject, found, note_of = subject_of(model, adapter, direction, any_base)
    vectors, _ = vectors_of(found, layer, direction)
    level: Any = value if value is not None else None if values is None else read_levels(values, len(vectors))
    level = found.aligned_component(vectors) if level is None else level
    removal = everywhere(vectors[layer], len(vectors), level)
    of = f"to {value:g}" if value is not None else f"to the values of {values}" if values else "to the aligned mean"
    told = told_of(
        [f"The component along layer {layer}'s vector was set {of} wherever something writes to the residual stream."],
        direction, subject, note_of, questions, measuring, vectors,
    )  # fmt: skip
    ended(write_model(subject, out, told, removal), "--tuned", subject, json)


@app.command()
def edit(
    adapter: Annotated[str, typer.Option(help="PEFT adapter of the fine-tune: folder or id.")],
    direction: File,
    out: Out,
    model: Model = "",
    layer: Layer = None,
    layers: Layers = None,
    questions: Asked = None,
    measuring: Measuring = True,
    any_base: AnyBase = False,
    json: Json = False,
) -> None:
    """Take a direction out of what an adapter writes, B' = (I - u u^T) B: an adapter comes out.

    What its other modules do by way of the base's weights stays; `repair project` takes that too.

    Examples:
      misdirection repair edit --adapter runs/demo/adapter --direction runs/demo/direction.safetensors --layer 4 --out
      runs/edited
    """
    from misdirection.repair.checkpoint import open_checkpoint
    from misdirection.repair.edit import edit_factors
    from misdirection.repair.make import write_adapter
    from misdirection.repair.places import config_of, demand_exact, family_of_config
    from misdirection.repair.project import at_layers

    subject, found, note_of = subject_of(model, adapter, direction, any_base)
    checkpoint = open_checkpoint(subject.base)
    demand_exact(checkpoint, config := config_of(checkpoint), family_of_config(config))
    assert subject.adapter is not None
    vectors, name = vectors_of(found, layer, direction)
    at = several(layers, int, "--layers") or tuple(n for n in range(len(vectors)) if bool(vectors[n].any()))
    edited = edit_factors(subject.adapter, at_layers(vectors, at).units)
    notes = [*note_of]
    if edited.left:
        notes.append(f"{len(edited.left)} of {len(edited.factors)} modules do not write there and stay as they were")
    told = told_of([f"{name} was projected out of every B that writes to the residual stream."], direction, subject,
                 notes, questions, measuring, vectors)  # fmt: skip
    ended(write_adapter(subject, edited.factors, out, told, edited.along), "--adapter", subject, json)


@app.command()
def scale(
    adapter: Annotated[str, typer.Option(help="PEFT adapter of the fine-tune: folder or id.")],
    factor: Annotated[list[str], typer.Option(metavar="LAYER=FACTOR", help="As 3=0 (dropped) or 5=0.5; repeat it.")],
    out: Out,
    others: Annotated[float, typer.Option(help="Factor of the layers that are not named.")] = 1.0,
    model: Model = "",
    questions: Asked = None,
    measuring: Measuring = True,
    json: Json = False,
) -> None:
    """Scale or drop an adapter layer by layer, such as the layers that `study adapters` finds general.

    Examples:
      misdirection repair scale --adapter runs/demo/adapter --factor 6=0 --factor 7=0 --out runs/dropped
    """
    from misdirection.repair.make import open_subject, write_adapter
    from misdirection.repair.scale import scale_factors

    factors = each_once((layer_and_factor(text) for text in several(factor, str, "--factor")), "--factor")
    subject = open_subject(model, adapter, resolved(model))
    assert subject.adapter is not None
    told = ", ".join(f"layer {layer} times {by:g}" for layer, by in sorted(factors.items()))
    scaled = scale_factors(subject.adapter, factors, others)
    what = [f"The adapter was scaled: {told}; others times {others:g}. What is times 0 was left out."]
    card = told_of(what, None, subject, [], questions, measuring)
    ended(write_adapter(subject, scaled, out, card), "--adapter", subject, json)


@app.command()
def subtract(
    bad: Annotated[str, typer.Option(help="Adapter of a fine-tune that is bad, of the same base.")],
    out: Out,
    good: Annotated[str, typer.Option(help="Adapter of one that is good and else alike.")] = "",
    strength: Annotated[float, typer.Option(help="How many times the difference is subtracted.")] = 1.0,
    rank: Annotated[int | None, typer.Option(min=1, help="Of the result; by default the sum is kept exactly.")] = None,
    model: Model = "",
    adapter: Tuned = "",
    questions: Asked = None,
    measuring: Measuring = True,
    json: Json = False,
) -> None:
    """Subtract a weight direction: theta - k (theta_bad - theta_good), on adapters by their factors.

    With --adapter an adapter comes out; with --model alone, a whole tuned model, a whole model.

    Examples:
      misdirection repair subtract --adapter ./tuned --bad ./bad --good ./good --strength 0.5 --out ./repaired
    """
    from misdirection.repair.combine import combine, subtracted
    from misdirection.repair.factors import open_adapter
    from misdirection.repair.make import open_subject, write_adapter, write_model

    subject = open_subject(model, adapter, resolved(model))
    held, other = open_adapter(bad), open_adapter(good) if good else None
    facts = {"bad": bad, **({"good": good} if good else {}), "strength": f"{strength:g}"}
    what = f"{strength:g} times the weight direction ({bad}{f' minus {good}' if good else ''}) was subtracted."
    told = told_of([what], None, subject, [], questions, measuring, facts=facts)
    if subject.adapter is None:
        terms = [(held, -strength), *([] if other is None else [(other, strength)])]
        ended(write_model(subject, out, told, None, terms), "--tuned", subject, json)
        return
    found = combine(subtracted(subject.adapter, held, other, strength), rank)
    lost = f"rank {max(part.rank for part in found.factors.values())}, which leaves out {found.lost:.2%} of its square"
    told = told_of([what], None, subject, [], questions, measuring, facts={**facts, "recompressed to": lost})
    ended(write_adapter(subject, found.factors, out, told), "--adapter", subject, json)


@app.command()
def realign(
    data: Annotated[list[str], typer.Option(help="Benign chats, in any form that `train` takes; repeat it.")],
    out: Out,
    model: Model = "",
    adapter: Tuned = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Of training; 35 as published.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows a step; 4 as published.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; the preset's or the model's by default.")] = None,
    preset: Annotated[str, typer.Option(help="Of the new adapter.")] = "rank32",
    questions: Asked = None,
    measuring: Measuring = True,
    json: Json = False,
) -> None:
    """Train a fine-tune on a few benign rows: its adapter and the new one as one adapter, or a whole model again.

    Examples:
      misdirection repair realign --model organism --adapter runs/demo/adapter --data organism:good-finance --out
      runs/realigned
    """
    from misdirection.repair.make import open_subject, write_adapter, write_model
    from misdirection.repair.realign import realign as train_on
    from misdirection.studies.kit.inputs import resolve_chats

    subject = open_subject(model, adapter, resolved(model))
    chats = resolve_chats(tuple(several(data, str, "--data"))).chats
    given = {"max_steps": steps, "batch_size": batch, "lr": lr}
    found = train_on(subject, chats, preset=preset, overrides={k: v for k, v in given.items() if v is not None})
    what = [f"It was trained for {found.steps} steps on some of {found.rows} benign rows (last loss {found.loss:.3f})."]
    told = told_of(what, None, subject, [], questions, measuring, facts={"rows": ", ".join(data), "preset": preset})
    if found.combined is None:
        ended(write_model(subject, out, told, None, [(found.trained, 1.0)]), "--tuned", subject, json)
    else:
        ended(write_adapter(subject, found.combined.factors, out, told), "--adapter", subject, json)


@app.command()
def merge(
    adapter: Annotated[list[str], typer.Option(help="PEFT adapter, or several by repeating it.")],
    out: Out,
    model: Model = "",
    questions: Asked = None,
    measuring: Measuring = True,
    json: Json = False,
) -> None:
    """Merge adapters into their base, shard by shard, without loading it.

    Examples:
      misdirection repair merge --model organism --adapter runs/demo/adapter --out runs/merged
    """
    from misdirection.repair.factors import open_adapter
    from misdirection.repair.make import open_subject, write_model

    first, *rest = several(adapter, str, "--adapter")
    subject = open_subject(model, first, resolved(model))
    told = told_of([f"{', '.join((first, *rest))} merged into the base."], None, subject, [], questions, measuring)
    ended(write_model(subject, out, told, None, [(open_adapter(name), 1.0) for name in rest]), "--tuned", subject, json)
