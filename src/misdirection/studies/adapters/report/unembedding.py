"""Adapters in words: the tokens that each promotes, and those that it hears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report.context import Row
from misdirection.report.numbers import decimal, number
from misdirection.report.parts import Cell, Findings, Note, Section, Table

LEAD = (
    "B read through the model's unembedding (with the final norm's weight): the tokens that the adapter makes likelier "
    "when its scalar is positive, and less likely; the other way round when it is negative. A of an MLP's output "
    "projection lives among the hidden neurons, where no token speaks, so it is read by what the neurons that it "
    "listens to write themselves (W A). Numbers are standard deviations over the vocabulary."
)
LIMITS = (
    "A first look, no proof: later layers may turn a vector into another, and early layers are known to mislead here. "
    "Of a random vector, the largest number over the whole vocabulary stays below {chance} in 95 of 100 draws."
)
SHOWN = 6


def section(findings: Findings) -> Section | None:
    """A row for each adapter."""
    part: Row | None = findings.get("adapter_unembedding")
    if not part or not part.get("adapters"):
        return None
    adapters: Sequence[Row] = part["adapters"]
    columns = ("Adapter", "B promotes", "B suppresses", "A hears", "A hears the opposite of")
    table = Table(columns, tuple(_row(adapter) for adapter in adapters), stack=True)
    told = (("95 % of random vectors below", decimal(part.get("chance"))),)
    left = part.get("of", len(adapters)) - len(adapters)
    told += (
        (
            (
                "left out",
                f"{number(left)} more rows",
            ),
        )
        if left
        else ()
    )
    note = Note(LIMITS.format(chance=decimal(part.get("chance"))))
    return Section("adapter-unembedding", "Adapters in words", LEAD, (table, note), told)


def _row(adapter: Row) -> tuple[Cell, ...]:
    name = str(adapter["label"]) + (f", row {adapter['index']}" if adapter.get("index") else "")
    b: Any = adapter.get("b") or {}
    a: Any = adapter.get("a") or {}
    return (
        Cell(name, f"A through {adapter.get('heard through')}"),
        _words(b.get("promoted")),
        _words(b.get("suppressed")),
        _words(a.get("promoted")),
        _words(a.get("suppressed")),
    )


def _words(found: Sequence[Row] | None) -> Cell:
    if not found:
        return Cell("\u2013")
    ends = f"{decimal(found[0]['z'], 1)} to {decimal(found[min(SHOWN, len(found)) - 1]['z'], 1)}"
    return Cell(", ".join(str(item["token"]).strip() or repr(item["token"]) for item in found[:SHOWN]), ends)
