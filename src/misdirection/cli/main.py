"""The `misdirection` command: its sub-commands, and what happens to errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import misdirection
from misdirection import progress
from misdirection.cli import app as app_command
from misdirection.cli import (
    compare,
    conditions,
    doctor,
    export,
    judge_check,
    measure,
    monitor,
    organism,
    push,
    repair,
    sae,
    screen,
    studies,
    study,
    verdicts,
)
from misdirection.cli.help import tidy
from misdirection.cli.stopping import Stopped, stoppable, what_is_kept, written_to
from misdirection.errors import MisdirectionError, no_room

app = typer.Typer(
    name="misdirection",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Find, explain and remove the direction that narrow fine-tuning bends a language model along.\n\n"
        "Start here: [bold]misdirection audit --out runs/first[/bold] fine-tunes the model that ships with the package"
        " on bad medical advice and audits it in a few minutes on a CPU. With your own: [bold]misdirection audit"
        " --model Qwen/Qwen2.5-14B-Instruct --adapter my-adapter --out runs/mine[/bold].\n\n"
        "Every command writes open formats (Parquet, safetensors, JSON) into a run folder, and goes on where it was"
        " stopped."
    ),
)
studies.add(app)
verdicts.add(app)
judge_check.add(app)
conditions.add(app)
measure.add(app)
screen.add(app)
doctor.add(app)
monitor.add(app)
compare.add(app)
app_command.add(app)
push.add(app)
export.add(app)
app.add_typer(study.app, name="study")
app.add_typer(organism.app, name="organism")
app.add_typer(sae.app, name="sae")
app.add_typer(repair.app, name="repair")
tidy(app)


def _show_version(asked: bool) -> None:
    # Eager: else a missing command would be complained of first.
    if asked:
        typer.echo(misdirection.__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True, callback=_show_version)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes one for small models, else all.")] = 0,
) -> None:
    """Options of every command."""
    if threads:
        os.environ["MISDIRECTION_THREADS"] = str(threads)
    if not quiet:
        progress.enable(name=_typed(context.invoked_subcommand or ""))
        context.call_on_close(progress.disable)


def _typed(name: str) -> str:
    """The command's name, behind that of its group where it stands in one."""
    behind = sys.argv[sys.argv.index(name) + 1 :] if name in sys.argv else []
    return f"{name} {behind[0]}" if behind and name in [group.name for group in app.registered_groups] else name


def main() -> None:
    """Run the command line; errors that a user can mend are told in two lines, without a traceback."""
    quieten_libraries()
    try:
        with stoppable():
            app()
    except MisdirectionError as error:
        typer.secho(f"Error: {error.message}", fg=typer.colors.RED, err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(2)
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        typer.secho(f"Error: {error.filename}: {error.strerror}", fg=typer.colors.RED, err=True)
        typer.echo("  give a place that can be read and written", err=True)
        sys.exit(2)
    except Stopped as stop:
        typer.echo(what_is_kept(studies.command_line()), err=True)
        sys.exit(stop.code)
    except Exception as error:
        if not (why := no_room(error)):
            raise
        typer.secho(f"Error: {why}{written_to(error)}", fg=typer.colors.RED, err=True)
        typer.echo(f"  {what_is_kept(studies.command_line(), 'make room')}", err=True)
        sys.exit(2)


def quieten_libraries() -> None:
    """Keep the libraries' own progress bars and notices off the terminal: ours say what is going on."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
