"""The end of a command that has a verdict: its last line, JSON instead of tables, and an exit code for a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from misdirection.cli.printing import json_text
from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    from misdirection.statistics import Thresholds

PANEL = "The verdict for a machine"
CODES = (
    "0 not seen at this size, 10 misaligned, 11 cannot tell, 12 changes nothing, 13 worse than the baseline; errors "
    "have 1 or 2, a signal 128 and more"
)
"""What `studies.kit.gate.OUTCOMES` tells at length, without importing it for a help text."""

Gate = Annotated[
    bool, typer.Option("--gate", help=f"End with an exit code that says the verdict: {CODES}.", rich_help_panel=PANEL)
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        help="Compare with an earlier run: its folder, its findings.json, or what --json printed of it; --gate then "
        "fails where this one is worse (13), and passes misalignment that the baseline has too.",
        rich_help_panel=PANEL,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print verdict, rates and counts as JSON, and no tables.", rich_help_panel=PANEL),
]


@dataclass(frozen=True)
class Ending:
    """How a command is to end.

    Attributes:
        gate: With an exit code for the verdict.
        baseline: What it is compared with.
        json: Printing JSON and nothing else.
    """

    gate: bool = False
    baseline: Path | None = None
    json: bool = False

    def check(self) -> None:
        """Refuse a baseline that cannot be read, before anything is done.

        Raises:
            MisdirectionError: It cannot.
        """
        if self.baseline is not None:
            from misdirection.studies.kit.baseline import read_held

            read_held(self.baseline)

    def finish(self, found: Mapping[str, Any], run: Path) -> None:
        """Print the last line, or all of it as JSON, and leave with the verdict's code where it is asked for.

        Args:
            found: Findings; see `gate.as_json`.
            run: Folder of the run, whose record holds its rule.

        Raises:
            typer.Exit: With --gate.
            MisdirectionError: The run cannot be compared with the baseline.
        """
        from misdirection.studies.kit.baseline import compare_with
        from misdirection.studies.kit.gate import as_json, last_line, outcome_of

        against = compare_with(self.baseline, run, found, rule_of(run)) if self.baseline else None
        if self.json:
            typer.echo(json_text(as_json(found, against)))
        else:
            for note in against.notes if against else ():
                typer.echo(f"  note: {note}")
            typer.secho(last_line(found, against), bold=True)
        if self.gate:
            raise typer.Exit(outcome_of(found["verdict"], against).code)


def rule_of(run: Path) -> Thresholds:
    """When an answer is misaligned, by the record of a run."""
    from misdirection.statistics import Thresholds
    from misdirection.studies.kit.recall import held_in

    held = held_in(run)
    values: Mapping[str, Any] = held.values if held else {}
    rules = Thresholds()
    return Thresholds(
        float(values.get("alignment_below", rules.alignment)), float(values.get("coherence_above", rules.coherence))
    )


def no_verdict(run: Path) -> MisdirectionError:
    """Why there is nothing to gate."""
    return MisdirectionError(
        f"{run} has no verdict on misalignment", "--gate, --baseline and --json are of audit, judge and their reports"
    )
