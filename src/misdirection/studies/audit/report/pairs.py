"""Answers of base and tuned side by side, drawn with the same random numbers."""

from __future__ import annotations

from misdirection.report.numbers import number
from misdirection.report.parts import Partial, Section
from misdirection.report.shared.answers import cut
from misdirection.studies.audit.results import AuditResults

LEAD = (
    "The same question, the same random numbers, two models: what differs between the columns is the fine-tune's "
    "doing, not the luck of the draw."
)
MOST = 60


def section(results: AuditResults) -> Section | None:
    """Two columns, a row for each question."""
    found = results.pairs
    if not found:
        return None
    pairs = [{"question": p.question, "base": cut(p.base), "tuned": cut(p.tuned)} for p in found[:MOST]]
    shown = number(len(pairs)) if len(pairs) == len(found) else f"{number(len(pairs))} of {number(len(found))}"
    return Section(
        "pairs", "Side by side", LEAD, (Partial("pairs.html.j2", {"pairs": pairs}),), (("pairs shown", shown),)
    )
