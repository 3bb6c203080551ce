"""The block before the work: what will be drawn, asked and spent, and what that can show; --dry-run stops behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection import progress
from misdirection.cli.printing import printed
from misdirection.errors import MisdirectionError

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


def announce(found: Forecast, dry_run: bool, json: bool = False) -> None:
    """Print what will be done.

    Args:
        found: The forecast.
        dry_run: Print it on the standard output, and stop.
        json: Print it there as one JSON document.

    Raises:
        typer.Exit: With `dry_run`.
    """
    lines = found.lines()
    if dry_run:
        told = {**asdict(found), "answers": found.answers, "cost": found.cost, "lines": lines}
        printed(told, json, lambda: _show(lines))
        raise typer.Exit
    for line in lines:
        progress.say(f"  {line}")


def _show(lines: Sequence[str]) -> None:
    for line in (*lines, "nothing was loaded, asked or written: --dry-run"):
        typer.echo(f"  {line}")


@dataclass(frozen=True)
class Before:
    """What is wanted before the work.

    Attributes:
        price: See `forecast.read_price`.
        dry_run: To stop behind the block.
        json: To print the block as JSON then.
    """

    price: str | None = None
    dry_run: bool = False
    json: bool = False

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
            announce(forecast(config, whole=whole, price=self.price), self.dry_run, self.json)

    def judging(self, run: Path, judges: Sequence[str], checker: str = "") -> None:
        """The block of judging the answers of a run, with the dearer judge of --check where there is one.

        Raises:
            MisdirectionError: The run's answers are not drawn yet, and nothing but the block is wanted.
        """
        there = (run / "answers.parquet").is_file()
        if self.dry_run and not there:
            raise MisdirectionError(
                f"{run} holds no answers yet, so there is no telling what judging them takes",
                "without --dry-run they are drawn first",
            )
        if there and not self.silent:
            from misdirection.artefacts import read_rows

            found = _judging(read_rows(run / "answers.parquet"), judges, checker, self.price)
            announce(found, self.dry_run, self.json)


def _judging(rows: Sequence[dict[str, Any]], judges: Sequence[str], checker: str, price: str | None) -> Forecast:
    from misdirection.studies.audit.forecast import forecast_judging

    opened = [row for row in rows if row.get("domain") is None and row.get("format", "plain") == "plain"]
    asked = {(row["arm"], row["question_id"]) for row in opened}
    letters = sum(len(row["question"]) + len(row["answer"]) for row in rows) / max(1, len(rows))
    samples = round(len(opened) / max(1, len(asked)))
    questions = len({name for _, name in asked})
    return forecast_judging(len(rows), letters, judges, questions, samples, price, checker)
