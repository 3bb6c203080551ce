"""What came out of asking in several ways, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from misdirection.results import Headline
from misdirection.statistics import is_found
from misdirection.studies.formats.results import Way
from misdirection.studies.kit.sentences import p_text, share_text

NONE_FOUND = "No way of asking can be told from plain (q < 0.05)."


def verdict(rows: Iterable[Way]) -> Headline:
    """The tuned model's rates on open questions, way by way, and the ways that differ from plain."""
    opened = [row for row in rows if row.group == "open" and row.arm == "tuned"]
    told = ", ".join(f"{row.way} {share_text(row.rate.value)}" for row in opened)
    moved = tuple(text for row in opened if (text := change_text(row)))
    sentence = f"Misaligned answers of the tuned model to open questions, of all answers: {told}."
    return Headline.finding(sentence, moved or (NONE_FOUND,))


def change_text(row: Way) -> str:
    """How a way of asking differs from plain; empty where it cannot be told from it."""
    change = row.difference
    if change is None or row.q is None or not is_found(row.q):
        return ""
    low, high = 100 * change.low, 100 * change.high
    return (
        f"{row.way}: {100 * change.value:+.1f} points against plain ({low:+.1f} to {high:+.1f}), {p_text(row.q, 'q')}."
    )
