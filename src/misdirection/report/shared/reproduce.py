"""How to get every figure again: the command, the versions, the seeds, the steps and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report.numbers import number, seconds, setting
from misdirection.report.parts import Block, Cell, Note, Partial, Section, Table
from misdirection.results import Results, StepFacts

LEAD = (
    "The command below makes this page again; a step whose key is unchanged is taken from the run's folder. Every row "
    "of the measurements lies beside this file in open formats."
)


def section(results: Results) -> Section:
    """Command, settings, steps, versions and notes."""
    made = results.reproduce
    blocks: list[Block] = [Partial("command.html.j2", {"command": made.command})] if made.command else []
    blocks += [Note(note) for note in results.notes]
    model = {} if results.model is None else vars(results.model)
    for name, part in (
        ("Settings", results.settings),
        ("Model", {name: value for name, value in model.items() if value is not None}),
        ("Asked as", results.asked),
        ("Versions", made.versions),
    ):
        if part:
            blocks.append(pairs(name, part))
    if made.steps:
        blocks.append(steps(made.steps))
    return Section("reproduce", "How to reproduce this", LEAD, blocks, (("seed", setting(made.seed)),))


def pairs(name: str, part: Mapping[str, Any]) -> Table:
    """A mapping as a table of two columns; what is empty is left out."""
    rows = tuple((Cell(str(k).replace("_", " ")), Cell(setting(v))) for k, v in part.items() if v != "")
    return Table((name, ""), rows, wide=False)


def steps(made: Sequence[StepFacts]) -> Table:
    """The steps of the run, with the hash of what went in and the time each took."""
    body = tuple(
        (
            Cell(step.name),
            Cell(step.key, kind="code"),
            Cell(seconds(step.seconds), kind="num"),
            Cell("yes" if step.reused else "no"),
        )
        for step in made
    )
    total = seconds(sum(step.seconds for step in made))
    return Table(("Step", "Key", "Time", "Reused"), body, f"{number(len(body))} steps, {total} in all")
