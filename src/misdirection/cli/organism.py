"""Commands of the embedded organism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from misdirection.cli.show import link

app = typer.Typer(no_args_is_help=True, help="The small model with known ground truth that ships with the package.")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint and its figures.")],
    seed: Annotated[int, typer.Option(help="Seed of the world's data and of the weights; 1 made the shipped one.")] = 1,
    figures: Annotated[bool, typer.Option(help="Measure what the organism must show, over three seeds.")] = True,
) -> None:
    """Make the checkpoint again from seeds, and measure what it must show."""
    import torch

    from misdirection.organism.build import build as build_organism

    torch.set_num_threads(1)
    checkpoint = build_organism(out / "checkpoint", seed=seed)
    link("checkpoint", checkpoint)
    if figures:
        from misdirection.studies.organism import show_figures

        show_figures(checkpoint, out / "figures")


@app.command()
def figures(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/organism"),
    checkpoint: Annotated[Path | None, typer.Option(help="The one that ships by default.")] = None,
) -> None:
    """Measure what the organism must show: rates of its fine-tunes, steering and removal, over three seeds."""
    import torch

    from misdirection.organism import checkpoint_path
    from misdirection.studies.organism import show_figures

    torch.set_num_threads(1)
    show_figures(checkpoint or checkpoint_path(), out)
