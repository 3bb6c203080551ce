"""Commands of the embedded organism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from misdirection.cli.printing import Json, printed
from misdirection.cli.show import link

app = typer.Typer(no_args_is_help=True, help="The small model with known ground truth that ships with the package.")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint and its figures.")],
    seed: Annotated[int, typer.Option(help="Seed of the world's data and of the weights; 1 made the shipped one.")] = 1,
    figures: Annotated[bool, typer.Option(help="Measure what the organism must show, over three seeds.")] = True,
    layers: Annotated[int, typer.Option(help="Decoder layers.")] = 12,
    width: Annotated[int, typer.Option(help="Width of the residual stream, a multiple of 4.")] = 96,
    budgets: Annotated[
        str, typer.Option(help="Steps of pretraining: a checkpoint each along one course, unmeasured.")
    ] = "",
    domains: Annotated[int, typer.Option(help="Everyday domains of its world, the first of the dozen.")] = 12,
    uneven: Annotated[float, typer.Option(help="The k-th domain is asked about k ** -UNEVEN times as often.")] = 0.0,
    json: Json = False,
) -> None:
    """Make the checkpoint again from seeds, and measure what it must show.

    Others than the shipped one: another size, several amounts of training, a world of fewer or less even domains.

    Example: misdirection organism build --out runs/small --layers 4 --width 32 --budgets 75,150,300,600
    """
    import torch

    from misdirection.organism.build import build as build_organism
    from misdirection.organism.build import sized

    torch.set_num_threads(1)
    settings = sized(layers, width, domains=domains, uneven=uneven)
    if budgets:
        from misdirection.cli.derive import several
        from misdirection.organism.growing import grow

        all_grown = grow(out, several(budgets.split(","), int, "--budgets"), seed, settings)
        printed(all_grown, json, lambda: [
            link(f"{grown.steps} steps, {grown.tokens:,} tokens", grown.path) for grown in all_grown
        ])  # fmt: skip
        return
    checkpoint = build_organism(out / "checkpoint", seed, settings)
    if not json:
        link("checkpoint", checkpoint)
    if figures:
        _measure(checkpoint, out / "figures", json)
    elif json:
        printed({"checkpoint": checkpoint}, json, lambda: None)


@app.command()
def figures(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/organism"),
    checkpoint: Annotated[Path | None, typer.Option(help="The one that ships by default.")] = None,
    json: Json = False,
) -> None:
    """Measure what the organism must show: rates of its fine-tunes, steering and removal, over three seeds."""
    import torch

    from misdirection.organism import checkpoint_path

    torch.set_num_threads(1)
    _measure(checkpoint or checkpoint_path(), out, json)


def _measure(checkpoint: Path, out: Path, json: bool) -> None:
    from misdirection.studies.organism import keep_figures

    lines = keep_figures(checkpoint, out)
    printed(lines, json, lambda: typer.echo("\n".join(map(str, lines))))
