"""The command that lays two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from misdirection import progress
from misdirection.cli.printing import Json, printed
from misdirection.cli.show import link, note, percent, table
from misdirection.cli.studies import command_line

if TYPE_CHECKING:
    from misdirection.studies.comparison.results import ArmChange, ComparisonResults

MOST = 5
"""Figures of one table that a terminal shows."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or its findings.json.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The run that is compared with it.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html and comparison.json.")] = Path("runs/compare"),
    json: Json = False,
) -> None:
    """What differs between two runs: rates with paired tests, verdicts, settings, removals, and figures row by row.

    Arms of one name are compared on the questions that both were asked in the same words: answer by answer where both
    runs drew the same random numbers (same seed and samples), else by question. Two audits, two runs of one study, or
    any two runs whose answers were judged. Runs of other questions or of another judge are refused.

    Examples:
      misdirection compare runs/before runs/after

      misdirection compare runs/before runs/after --out runs/both --json
    """
    from misdirection.studies.comparison.study import compare_runs, write_comparison

    progress.say(f"{progress.name()}: {first} and {second}; in {out}")
    found = compare_runs(first, second, command_line())
    path = write_comparison(found, out)
    printed(found.to_json(), json, lambda: (show(found), link("report", path)))


def show(found: ComparisonResults) -> None:
    """The comparison at a terminal."""
    typer.secho(f"\n{found.verdict.sentence}", bold=True)
    for detail in found.verdict.details:
        note(detail)
    if found.arms:
        of_q = "; a difference's is that which belongs to its q" if len(found.arms) > 1 else ""
        typer.echo(f"\nMisaligned, first and second run (95 % interval over questions{of_q}):")
        table(
            ["answers", "arm", "questions", "first", "second", "difference", "p", "q", "paired by"],
            [_arm(row) for row in found.arms],
        )
    if found.settings_changed:
        typer.echo("\nWhat differs in the settings:")
        rows = [[row.name, row.first or "-", row.second or "-"] for row in found.settings_changed]
        table(["setting", "first", "second"], [[cell[:60] for cell in row] for row in rows])
    for facts in found.tables:
        rows = [row for row in found.figures if row.table == facts.table]
        if rows:
            typer.echo(f"\n{facts.table}: {facts.differing} figures differ in {facts.shared} rows of both")
            shown = [
                [row.row[:60], row.figure, *(_number(x.value) for x in (row.first, row.second, row.difference))]
                for row in rows[:MOST]
            ]
            table(["row", "figure", "first", "second", "difference"], shown)
    for text in found.notes:
        note(f"note: {text}")


def _arm(row: ArmChange) -> list[str]:
    change = row.difference
    group = row.group if row.format == "plain" else f"{row.group}, {row.format}"
    moved = f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f}"
    moved += ")" if row.q is None else f", {100 * row.level:.3g} %)"
    q = "-" if row.q is None else f"{row.q:.3g}"
    return [row.asked, row.arm, group, percent(vars(row.first)).strip(), percent(vars(row.second)).strip(), moved,
            f"{change.p:.3g}", q, row.paired]  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
