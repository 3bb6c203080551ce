"""The command doctor: what is here, what is missing, and what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from misdirection.cli.printing import printed
from misdirection.cli.show import note, table

if TYPE_CHECKING:
    from misdirection.doctor import Device, Examination


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for a bug report or a script.")] = False,
) -> None:
    """What is here: versions, devices and memory, what each extra lacks, and how large a model fits.

    Nothing is loaded, downloaded or sent. The exit status is 1 where a package that is needed is missing or of a
    version that does not do. What "fits" is the weights and 2.5 GB beside them, in the memory that is free now.

    Examples:
      misdirection doctor

      misdirection doctor --json
    """
    from misdirection.artefacts import plain
    from misdirection.doctor import examine

    found = examine()
    printed(plain(found) | {"faults": found.faults}, json, lambda: _show(found))
    if found.faults:
        raise typer.Exit(1)


def _show(found: Examination) -> None:
    from misdirection.doctor import FORMATS

    typer.echo(f"misdirection {found.version}, Python {found.python}, {found.system}")
    note(f"{found.cores} cores{': ' if found.flags else ''}{', '.join(found.flags)}")
    note(f"{found.disk / 1e9:.0f} GB of disk free in this folder")
    note(f"hub: {found.hub or 'asked where a model or a data set is named by its id'}")
    typer.echo("\nDevices, and the largest model that an audit has room for:")
    head = ["device", "what", "memory, GB", "free, GB", *(f"in {name}" for name in FORMATS)]
    table(head, [
        [d.name, d.what, f"{d.total / 1e9:.1f}", f"{d.free / 1e9:.1f}", *(_size(d, name) for name in FORMATS)]
        for d in found.devices
    ])  # fmt: skip
    typer.echo("\nPackages:")
    table(["package", "version", "wanted", ""], [
        [p.name, p.version or "missing", p.wanted or "any", "" if p.fits else "does not do"] for p in found.packages
    ])  # fmt: skip
    typer.echo("\nExtras:")
    table(["extra", "state"], [
        [e.name, f"lacks {', '.join(e.missing)}: pip install 'misdirection[{e.name}]'" if e.missing else "there"]
        for e in found.extras
    ])  # fmt: skip
    for fault in found.faults:
        typer.secho(f"fault: {fault}", fg=typer.colors.RED)
    if not found.faults:
        typer.echo("nothing is missing that is needed; next: misdirection audit --out runs/first")


def _size(device: Device, dtype: str) -> str:
    size = device.size(dtype)
    return f"{'none' if size is None else f'{size:g}B'} (up to {device.billions(dtype):.1f}B)"
