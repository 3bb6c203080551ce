"""The command that gives a direction, a dictionary or a repaired model away on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from misdirection import progress
from misdirection.cli.printing import Json, printed
from misdirection.cli.show import link, note, table

if TYPE_CHECKING:
    from misdirection.sharing import Parcel


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("push")(push)


def push(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="WHAT",
            help="A direction's file or the run that holds it, or the folder of a dictionary, of an adapter or of a "
            "whole model.",
        ),
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Where to: OWNER/NAME.")],
    base: Annotated[
        str | None, typer.Option(help="Id of the model that it belongs to; by default what it says of itself.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="Run whose figures stand in the card, or what sae evaluate --out wrote; by default those of the run "
            "that it lies in."
        ),
    ] = None,
    license: Annotated[str, typer.Option(help="As the hub names licenses; none is said without it.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Everybody sees it; else its owner alone.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Add a commit to a repository that is there.")] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Write what would be pushed there, and send nothing.", metavar="FOLDER")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be pushed, card and all, and send nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Push a direction, a dictionary or a repaired adapter or model to the hub, with a card of what was measured.

    The card says what it is, how it was made, how it is loaded, and the figures of the run with their counts and
    intervals; base model and tags stand in its metadata, a license where you name one. Weights go as safetensors alone,
    and neither training data nor logs nor paths of this machine go along. A new repository is private unless you say
    otherwise.

    Examples:
      misdirection push runs/demo me/bad-medical-direction --dry-run

      misdirection push runs/demo/repaired me/repaired --base Qwen/Qwen2.5-14B-Instruct --figures runs/demo

      misdirection push runs/sae/dictionary-24 me/qwen-layer-24 --public --license apache-2.0
    """
    from misdirection.sharing import pack
    from misdirection.sharing.pushing import demand_hub, send

    progress.say(f"{progress.name()}: {what} to {repo}")
    if not (dry_run or folder):
        demand_hub(repo, update=update)
    with pack(what, repo, base=base, figures=figures, license=license) as parcel:
        if folder is not None:
            parcel.write(folder)
        address = "" if dry_run or folder else send(parcel, public=public, update=update, message=message)
        printed(_facts(parcel, address), json, lambda: _show(parcel, address, folder, card=dry_run))


def _facts(parcel: Parcel, address: str) -> dict[str, object]:
    return {
        "kind": parcel.kind, "repo": parcel.repo, "files": parcel.sizes, "left": list(parcel.left),
        "figures": parcel.figures, "card": parcel.card, "address": address or None,
    }  # fmt: skip


def _show(parcel: Parcel, address: str, folder: Path | None, card: bool) -> None:
    table(["file", "bytes"], [[name, f"{size:,}"] for name, size in parcel.sizes.items()])
    if parcel.left:
        note(f"stays here: {', '.join(parcel.left)}")
    note(f"figures of {parcel.figures}" if parcel.figures else "nothing measured stands in the card (--figures RUN)")
    if card:
        typer.echo(f"\n{parcel.card}")
    if folder is not None:
        link("folder", folder)
    if address:
        typer.secho(f"pushed: {address}", bold=True)
