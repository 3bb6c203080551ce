"""How to get every figure again: the command, the versions, the seeds, the steps and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.report.context import Row, rows
from misdirection.report.numbers import number, seconds, setting
from misdirection.report.parts import Block, Cell, Findings, Note, Partial, Section, Table

LEAD = (
    "The command below makes this page again; a step whose key is unchanged is taken from the run's folder. Every row "
    "of the measurements lies beside this file in open formats."
)


def section(findings: Findings) -> Section | None:
    """Command, settings, steps, versions and notes."""
    made: Row = findings.get("reproduce") or {}
    blocks: list[Block] = []
    if made.get("command"):
        blocks.append(Partial("command.html.j2", {"command": str(made["command"])}))
    blocks += [Note(str(note)) for note in findings.get("notes") or []]
    for name, part in (
        ("Settings", findings.get("settings")),
        ("Model", {name: value for name, value in (findings.get("model") or {}).items() if value is not None}),
        ("Asked as", findings.get("asked")),
        ("Versions", made.get("versions")),
    ):
        if part:
            blocks.append(pairs(name, part))
    if made.get("steps"):
        blocks.append(steps(made))
    if not blocks:
        return None
    seed = (("seed", setting(made["seed"])),) if made.get("seed") is not None else ()
    return Section("reproduce", "How to reproduce this", LEAD, blocks, seed)


def pairs(name: str, part: Mapping[str, Any]) -> Table:
    """A mapping as a table of two columns."""
    return Table(
        (name, ""), tuple((Cell(str(k).replace("_", " ")), Cell(setting(v))) for k, v in part.items()), wide=False
    )


def steps(made: Row) -> Table:
    """The steps of the run, with the hash of what went in and the time each took."""
    body = tuple(
        (
            Cell(str(s.get("name"))),
            Cell(str(s.get("key") or "\u2013"), kind="code"),
            Cell(seconds(s.get("seconds")), kind="num"),
            Cell("yes" if s.get("reused") else "no"),
        )
        for s in rows(made, "steps")
    )
    total = sum(s["seconds"] for s in rows(made, "steps") if isinstance(s.get("seconds"), int | float))
    return Table(("Step", "Key", "Time", "Reused"), body, f"{number(len(body))} steps, {seconds(float(total))} in all")
