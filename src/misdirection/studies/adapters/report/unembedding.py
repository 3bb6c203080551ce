"""Adapters in words: the tokens that each promotes, and those that it hears."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report.numbers import decimal, number
from misdirection.report.parts import Cell, Note, Section, Table
from misdirection.results import TokenEnds, TokenScore
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.reading import AdapterWords

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


NOTHING = TokenEnds(promoted=(), suppressed=())


def section(results: AdaptersResults) -> Section | None:
    """A row for each adapter."""
    part = results.adapter_unembedding
    if not part or not part.adapters:
        return None
    columns = ("Adapter", "B promotes", "B suppresses", "A hears", "A hears the opposite of")
    table = Table(columns, tuple(map(_row, part.adapters)), stack=True)
    facts = (("95 % of random vectors below", decimal(part.chance)),)
    if left := part.of - len(part.adapters):
        facts += (("left out", f"{number(left)} more rows"),)
    note = Note(LIMITS.format(chance=decimal(part.chance)))
    return Section("adapter-unembedding", "Adapters in words", LEAD, (table, note), facts)


def _row(adapter: AdapterWords) -> tuple[Cell, ...]:
    name = adapter.label + (f", row {adapter.index}" if adapter.index else "")
    b, a = adapter.b or NOTHING, adapter.a or NOTHING
    ends = (b.promoted, b.suppressed, a.promoted, a.suppressed)
    return (Cell(name, f"A through {adapter.heard_through}"), *map(_words, ends))


def _words(scores: Sequence[TokenScore]) -> Cell:
    if not scores:
        return Cell("\u2013")
    ends = f"{decimal(scores[0].z, 1)} to {decimal(scores[min(SHOWN, len(scores)) - 1].z, 1)}"
    return Cell(", ".join(one.token.strip() or repr(one.token) for one in scores[:SHOWN]), ends)
