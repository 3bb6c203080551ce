"""`misdirection sae`: train, measure and look at dictionaries (sparse autoencoders)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection.cli.begin import begin, tell
from misdirection.cli.derive import several, with_options
from misdirection.cli.printing import Json, printed
from misdirection.cli.recall import own_model, remembered
from misdirection.cli.show import link, note, onward, table
from misdirection.cli.studies import command_line
from misdirection.errors import MisdirectionError, MissingExtraError, command
from misdirection.features.settings import DictionarySettings
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.kit.preflight import check, check_dictionaries, check_target
from misdirection.studies.kit.recall import held_in

if TYPE_CHECKING:
    from misdirection.features.quality import Quality
    from misdirection.studies.dictionaries.described import DescribedLatent
    from misdirection.studies.dictionaries.study import Trained

app = typer.Typer(no_args_is_help=True, help="Dictionaries (sparse autoencoders) of a model's residual stream.")

HEAD = ["variance explained", "active", "dead", "loss clean", "with it", "zero", "mean", "recovered"]


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")] = Path("runs/sae"),
    json: Json = False,
    **values: Any,
) -> None:
    """Train a dictionary a layer with SAELens (the extra "sae"), and measure it on held-out texts.

    With --adapter or --tuned it is measured on both variants, so that two runs, with --variant base and --variant
    tuned, say how far a dictionary carries over in either direction.

    Examples:
      misdirection sae train --layers 6 --out runs/sae

      misdirection sae train --model Qwen/Qwen2.5-14B-Instruct --data chats.jsonl --layers 24 --tokens 200000000
    """
    from misdirection.artefacts import write_json
    from misdirection.cli.threads import set_threads

    config = remembered(SaeConfig, _part(values, SaeConfig), context, out)
    settings = remembered(
        DictionarySettings, _part(values, DictionarySettings), context, None, held=held_in(out, part="settings")
    )
    config = config.checked()
    begin(config, out, tokens=settings.tokens)
    if find_spec("sae_lens") is None:
        raise MissingExtraError("sae-lens", "sae")
    set_threads(config.model)
    from misdirection.studies.dictionaries.study import train_dictionaries

    trained = train_dictionaries(config, settings, out, command_line())
    figures = {f"dictionary-{one.layer}": one.figures for one in trained}
    # Beside the dictionaries, as `sae evaluate --out` writes it: `push` takes it for their cards.
    write_json(out / "figures.json", figures)
    printed(figures, json, lambda: _show_trained(trained, config, out))


def _show_trained(trained: Sequence[Trained], config: SaeConfig, out: Path) -> None:
    _show_figures("layer", {str(one.layer): one.figures for one in trained})
    for one in trained:
        link(f"dictionary of layer {one.layer}", out / f"dictionary-{one.layer}")
    place = out / f"dictionary-{trained[0].layer}"
    more = () if config.model == SaeConfig().model else ("--model", config.model, "--data", *config.data[:1])
    onward("what its latents fire on", command("sae", "describe", place, "--latents", "0,1", *more))


def evaluate(
    context: typer.Context,
    dictionaries: Annotated[
        list[str], typer.Argument(help="Folders, <release>:<id> of public sets, or organism:<layer>.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the figures there, as JSON.")] = None,
    json: Json = False,
    **values: Any,
) -> None:
    """Measure dictionaries on a model's variants: variance explained, active and dead latents, loss recovered.

    Example: misdirection sae evaluate runs/sae/dictionary-6 --adapter runs/adapter
    """
    from misdirection.artefacts import write_json
    from misdirection.cli.threads import set_threads

    values |= own_model({**values, "dictionaries": dictionaries}, context)
    config = SaeConfig(**values)
    tell({**values, "methods": dictionaries}, None)
    check_dictionaries(dictionaries)
    check_target(out)
    check(config.checked())
    from misdirection.studies.dictionaries.study import evaluate_dictionaries

    set_threads(config.model)
    found = evaluate_dictionaries(config, dictionaries)
    if out is not None:
        write_json(out, found)
    printed(found, json, lambda: (_show_figures("dictionary", found), out and link("figures", out)))


def show(
    dictionary: Annotated[str, typer.Argument(help="A folder, <release>:<id> of a public set, or organism:<layer>.")],
    layout: Annotated[str | None, typer.Option(help="Layout of the folder, where its files do not tell.")] = None,
    json: Json = False,
) -> None:
    """Print what a dictionary is: shape, rule, layer, and what it says of its training.

    Example: misdirection sae show gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82
    """
    from misdirection.studies.kit.inputs import resolve_dictionary

    check_dictionaries([dictionary])
    found = resolve_dictionary(dictionary, layout)
    rule = found.activation
    if found.threshold is not None:
        low, high = float(found.threshold.min()), float(found.threshold.max())
        rule += f", thresholds {low:.4g} to {high:.4g}"
    if found.k:
        rule += f", k {found.k}"
    rows = {
        "shape": f"width {found.width:,}, {found.latents:,} latents",
        "rule": rule,
        "layer": "not known" if found.layer is None else f"after decoder layer {found.layer}",
        "input": ("decoder bias subtracted" if found.subtracts else "as it is")
        + (f", scaled by {found.input_scale:g}" if found.input_scale != 1 else ""),
        "norms of decoder vectors": f"{float(found.decoder.float().norm(dim=-1).mean()):.4g} on average",
    }
    rows |= {name: _line(value) for name, value in found.facts.items()}
    told = {"width": found.width, "latents": found.latents, "activation": found.activation, "k": found.k,
            "layer": found.layer, "subtracts": found.subtracts, "input_scale": found.input_scale,
            "facts": found.facts}  # fmt: skip
    printed(told, json, lambda: table(["", dictionary], [[name, value] for name, value in rows.items()]))


def describe(
    context: typer.Context,
    dictionary: Annotated[str, typer.Argument(help="A folder, <release>:<id> of a public set, or organism:<layer>.")],
    latents: Annotated[str, typer.Option(help="Which, with commas between them: 3,17,256.")] = "",
    contexts: Annotated[int, typer.Option(min=1, help="Contexts shown of each.")] = 6,
    words: Annotated[int, typer.Option(min=1, help="Promoted and suppressed words shown of each.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Write it all there, as JSON.")] = None,
    json: Json = False,
    **values: Any,
) -> None:
    """Print where latents fire most over a corpus, and which words they promote.

    Examples:
      misdirection sae describe organism:6 --latents 118,468

      misdirection sae describe runs/sae/dictionary-24 --latents 7 --model Qwen/Qwen2.5-14B-Instruct --data FILE
    """
    from misdirection.artefacts import write_json
    from misdirection.cli.threads import set_threads

    values |= own_model({**values, "dictionary": dictionary}, context)
    config = SaeConfig(**values)
    tell({**values, "methods": [dictionary]}, None)
    wanted = several([latents], int, "--latents")
    if not wanted:
        raise MisdirectionError("no latent is named", "--latents 3,17,256")
    check_dictionaries([dictionary])
    check_target(out)
    check(config.checked())
    from misdirection.studies.dictionaries.described import describe_latents

    set_threads(config.model)
    found = describe_latents(config, dictionary, wanted, contexts, words)
    if out is not None:
        write_json(out, found)
    printed(found, json, lambda: _show_latents(found, out))


def _show_latents(found: Sequence[DescribedLatent], out: Path | None) -> None:
    for row in found:
        typer.secho(f"\nlatent {row.latent}", bold=True)
        note(f"fires in {row.firing_texts:,} of {row.texts:,} texts")
        for end, words_there in (("promotes", row.promotes), ("suppresses", row.suppresses)):
            note(f"{end}: {', '.join(f'{token} {z:+.1f}' for token, z in words_there)}")
        table(["activation", "context"], [[f"{one.value:.4g}", one.text] for one in row.contexts])
    if out is not None:
        link("latents", out)


def _part(values: Mapping[str, Any], settings: type) -> dict[str, Any]:
    return {name: values[name] for name in settings.__dataclass_fields__ if name in values}


def _line(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)  # pyright: ignore[reportUnknownVariableType]


def _show_figures(what: str, found: Mapping[str, Mapping[str, Quality]]) -> None:
    """A row a dictionary and variant."""
    rows = [[name, variant, *_row(one)] for name, held in found.items() for variant, one in held.items()]
    table([what, "variant", *HEAD], rows)
    one = next(iter(next(iter(found.values())).values()))
    note(f"on {one.tokens:,} held-out tokens; losses in nats; recovered against zeros / against the mean state")


def _row(one: Quality) -> list[str]:
    losses = [f"{loss:.3f}" for loss in (one.loss_clean, one.loss_spliced, one.loss_zero, one.loss_mean)]
    shares = ["-" if isnan(share) else f"{share:.1%}" for share in (one.recovered_zero, one.recovered_mean)]
    dead = f"{one.dead:,} of {one.latents:,}"
    return [f"{one.variance_explained:.1%}", f"{one.l0:.1f}", dead, *losses, " / ".join(shares)]


app.command()(with_options(with_options(train, SaeConfig), DictionarySettings, panel="How it is trained"))
_MEASURED = [name for name in SaeConfig.__dataclass_fields__ if name != "variant"]
app.command()(with_options(evaluate, SaeConfig, only=_MEASURED))
app.command()(show)
_READ = [name for name in _MEASURED if name not in ("adapter", "tuned", "held_out")]
app.command()(with_options(describe, SaeConfig, only=_READ))
