"""How a command prints what it found: tables for a person, or with --json all of it for a program."""

from __future__ import annotations

import json as encoder
import re
from collections.abc import Callable
from typing import Annotated

import typer

_HALF = re.compile(r"[\ud800-\udfff]")

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and no tables.")]
"""The option of every command that prints a table; those with a verdict have one that says more (`gate.Json`)."""


def printed(found: object, json: bool, tables: Callable[[], object]) -> None:
    """Print what a command found.

    Args:
        found: All of it: dataclasses, mappings and lists of them; numbers that are none become null.
        json: As one JSON document on standard output, and nothing beside it.
        tables: Prints it for a person, with notes and where things lie.
    """
    if not json:
        tables()
        return
    from misdirection.artefacts import plain

    typer.echo(json_text(plain(found)))


def json_text(found: object, indent: int | None = 1) -> str:
    """JSON as it is printed: readable in every language, and half of a surrogate pair, which UTF-8 has not, escaped."""
    text = encoder.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False)
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
