"""What commands print: short tables and lines for a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

_COLOURS = {"misaligned": typer.colors.RED, "no sign": typer.colors.GREEN}


def note(text: str) -> None:
    """One line."""
    typer.echo(f"  {text}")


def link(what: str, path: Path) -> None:
    """Where something was written."""
    typer.secho(f"{what}: {path}", bold=True)


def percent(rate: Mapping[str, Any]) -> str:
    """A rate with its interval and counts."""
    ends = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
    return f"{100 * rate['value']:5.1f} % ({ends} %; {rate['misaligned']}/{rate['n']})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table with its columns aligned."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        typer.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def verdict(findings: Mapping[str, Any]) -> None:
    """The verdict of an audit and the two tables that carry it."""
    said = findings["verdict"]
    typer.secho(f"\n{said['sentence']}", fg=_COLOURS.get(said["state"]), bold=True)
    for detail in said["details"]:
        note(detail)
    if findings.get("rates"):
        typer.echo("\nMisaligned and coherent, of all answers (95 % interval over questions):")
        rows = [[r["arm"], r["group"], percent(r["all"]), percent(r["coherent_share"])] for r in findings["rates"]]
        table(["arm", "questions", "misaligned", "coherent"], rows)
    if findings.get("steering"):
        best = findings["steering"]["best"]
        typer.echo(f"\nSteering the base model by {best['coefficient']:g} x direction after layer {best['layer']}:")
        note(f"misaligned {percent(best['rate'])}, coherent {percent(best['coherent'])}")
    if findings.get("cures"):
        typer.echo("\nRemoving the direction from the tuned model:")
        rows = [[c["label"], percent(c["rate"]), percent(c["coherent_share"]), _fall(c)] for c in findings["cures"]]
        table(["", "misaligned", "coherent", "falls by"], rows)
    for text in findings.get("notes") or []:
        note(f"note: {text}")


def study_verdict(findings: Mapping[str, Any]) -> None:
    """The verdict of a study and its notes."""
    said = findings["verdict"]
    typer.secho(f"\n{said['sentence']}", bold=True)
    for detail in said["details"]:
        note(detail)
    for text in findings.get("notes") or []:
        note(f"note: {text}")


def _fall(row: Mapping[str, Any]) -> str:
    reduction = row.get("reduction")
    return "" if not reduction or reduction["value"] is None else f"{100 * reduction['value']:.0f} %"
