"""`misdirection screen`: which training rows to take out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection.cli.begin import begin
from misdirection.cli.derive import with_options
from misdirection.cli.printing import Json, printed
from misdirection.cli.recall import remembered
from misdirection.cli.show import link, note, table
from misdirection.cli.studies import command_line
from misdirection.studies.kit.preflight import check_places
from misdirection.studies.screening.scoring import ScreenConfig

if TYPE_CHECKING:
    from misdirection.studies.screening.results import DropChoice
    from misdirection.studies.screening.screen import ScreenSummary


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_options(screen, ScreenConfig))


def screen(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")] = Path(
        "runs/screen"
    ),
    json: Json = False,
    **values: Any,
) -> None:
    """Score training rows and drop the most suspicious: a new data set by every method; the input stays as it is.

    Leaves METHOD/kept.jsonl and METHOD/dropped.jsonl, the rows as they stood; scores.parquet and summary.json. What the
    filtered sets do to a model is measured by: misdirection study screening.

    Examples:
      misdirection screen --out runs/screen

      misdirection screen --data mixed.jsonl --methods judge,random --judge local:MODEL --drop 0.5 --out runs/screen

      misdirection screen --model ID --data mixed.jsonl --methods latents,projection --dictionary RELEASE:ID
      --toxic toxic.jsonl --harmless harmless.jsonl --out runs/screen
    """
    from misdirection.cli.threads import set_threads

    config = remembered(ScreenConfig, values, context, out)
    check_places(config, out)
    begin(config.completed(), out)
    set_threads(config.model)
    from misdirection.studies.screening.screen import screen as run_screen

    summary = run_screen(config, out, command_line())
    printed(summary, json, lambda: _show_all(summary, out))


def _show_all(summary: ScreenSummary, out: Path) -> None:
    show(summary)
    for name in ("scores.parquet", "summary.json"):
        link(Path(name).stem, out / name)
    link("filtered data", out / next(iter(summary.methods)) / "kept.jsonl")


def show(summary: ScreenSummary) -> None:
    """Counts by method, and how far each agrees with what is known of the rows."""
    aside = f"; {summary.set_aside:,} set aside in bad_rows.jsonl" if summary.set_aside else ""
    known = "" if summary.known_bad is None else f", {summary.known_bad:,} known to be bad"
    note(f"{summary.rows:,} rows{known}{aside}")
    head = ["method", "kept", "dropped", "not scored", "bad among dropped", "bad rows found", "AUC"]
    table(head, [_line(name, choice) for name, choice in summary.methods.items()])


def _line(name: str, choice: DropChoice) -> list[str]:
    found = choice.agreement
    counts = [f"{count:,}" for count in (choice.kept, choice.dropped, choice.unscored)]
    if found is None:
        return [name, *counts, "-", "-", "-"]
    recall = "-" if found.recall is None else f"{found.recall:.1%}"
    return [name, *counts, f"{found.precision:.1%}", recall, "-" if found.auc is None else f"{found.auc:.3f}"]
