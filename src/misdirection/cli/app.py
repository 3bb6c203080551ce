"""The command that shows runs in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from misdirection import progress
from misdirection.cli.show import note
from misdirection.naming import each_once


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("app")(show)


def show(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs; several stand side by side.")],
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Where to listen on 127.0.0.1; 0 takes any port that is free. By default 8642, or any.",
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="A direction to look along besides the runs' own, in any form; may be repeated."
        ),
    ] = None,
    dictionary: Annotated[
        list[str] | None,
        typer.Option(help="A dictionary whose latents to look at: a folder, or <release>:<id>; may be repeated."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser; --no-browser only prints the address.")] = True,
) -> None:
    r"""Look at runs in the browser: rates side by side, every answer to read, filter and search, and a live chat.

    The live page asks base, tuned and a changed model at once, in one batch and with the same random numbers: steer
    along the run's direction, project it out, scale the adapter, hold a latent. Models are loaded when they are first
    asked. What was asked can be kept as an arm of the run, a step of its own; looking alone changes nothing in it, and
    a run may be unfinished: what it holds so far is shown.

    An answer's tokens can be coloured by a direction, by an adapter's scalars or by a latent, and every direction and
    latent has a page: where the answers show it most, what it promotes, what is like it.

    Only this machine can reach the app, and only with the token in the address that is printed, which is new at every
    start. For a run on another machine: ssh -L 8642:127.0.0.1:8642 THERE, start it there with --no-browser, and open
    the address here. Ctrl-C ends it. It needs pip install 'misdirection\[app]'.

    Examples:
      misdirection app runs/audit

      misdirection app runs/before runs/after --port 9000

      misdirection app runs/audit --direction theirs=persona.pt
    """
    from misdirection.app.opening import Given
    from misdirection.app.serving import serve
    from misdirection.cli.threads import set_threads

    progress.say(f"{progress.name()}: {', '.join(map(str, runs))}")

    def say(address: str) -> None:
        typer.secho(address, bold=True)
        note("Ctrl-C ends it")
        progress.idle()

    named = [text.partition("=") if "=" in text else (Path(text).stem, "", text) for text in direction or ()]
    files = each_once(((name, Path(file).resolve()) for name, _, file in named), "--direction")
    given = Given(files, tuple(dictionary or ()))
    serve(runs, port, given=given, show=browser, say=say, prepare=set_threads)
