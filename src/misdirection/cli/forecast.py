"""The block before the work: what will be drawn, asked and spent, and what that can show; --dry-run stops behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection import progress

if TYPE_CHECKING:
    from misdirection.studies.audit.forecast import Forecast
    from misdirection.studies.audit.settings import AuditConfig

PANEL = "Before it starts"
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check everything, ping the judge, say how many answers, tokens and calls it takes, how long, at what "
        "cost, and what that can show; then stop: nothing is loaded or written.",
        rich_help_panel=PANEL,
    ),
]
Price = Annotated[
    str | None,
    typer.Option(
        metavar="IN,OUT",
        help="What the judge's provider takes, in dollars a million tokens read and written, as 2.5,10: the cost is "
        "told before it starts.",
        rich_help_panel=PANEL,
    ),
]


def announce(found: Forecast, dry_run: bool) -> None:
    """Print what will be done.

    Args:
        found: The forecast.
        dry_run: Print it on the standard output, and stop.

    Raises:
        typer.Exit: With `dry_run`.
    """
    for line in found.lines():
        if dry_run:
            typer.echo(f"  {line}")
        else:
            progress.say(f"  {line}")
    if dry_run:
        typer.echo("  nothing was loaded, asked or written: --dry-run")
        raise typer.Exit


@dataclass(frozen=True)
class Before:
    """What is wanted before the work.

    Attributes:
        price: See `forecast.read_price`.
        dry_run: To stop behind the block.
    """

    price: str | None = None
    dry_run: bool = False

    @property
    def silent(self) -> bool:
        """Whether nobody would read it."""
        return not self.dry_run and not progress.enabled()

    def run(self, config: AuditConfig, *, whole: bool) -> None:
        """The block of an audit, or of sampling alone."""
        from misdirection.studies.audit.forecast import forecast, read_price

        if self.silent:
            read_price(self.price)
        else:
            announce(forecast(config, whole=whole, price=self.price), self.dry_run)

    def judging(self, run: Path, judges: Sequence[str], checker: str = "") -> None:
        """The block of judging the answers of a run, with the dearer judge of --check where there is one."""
        if (run / "answers.parquet").is_file() and not self.silent:
            from misdirection.artefacts import read_rows

            announce(_judging(read_rows(run / "answers.parquet"), judges, checker, self.price), self.dry_run)


def _judging(rows: Sequence[dict[str, Any]], judges: Sequence[str], checker: str, price: str | None) -> Forecast:
    from misdirection.studies.audit.forecast import forecast_judging

    opened = [row for row in rows if row.get("domain") is None and row.get("format", "plain") == "plain"]
    asked = {(row["arm"], row["question_id"]) for row in opened}
    letters = sum(len(row["question"]) + len(row["answer"]) for row in rows) / max(1, len(rows))
    samples = round(len(opened) / max(1, len(asked)))
    questions = len({name for _, name in asked})
    return forecast_judging(len(rows), letters, judges, questions, samples, price, checker)
