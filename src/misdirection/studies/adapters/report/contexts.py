"""Where each adapter fires most."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report.context import Row
from misdirection.report.numbers import decimal, number
from misdirection.report.parts import Cell, Findings, Section, Table

LEAD = (
    "The answer tokens at which each adapter's scalar A\u00b7x is largest and smallest, one an answer, with the words "
    "around them (the token itself in brackets), in standard deviations from the mean over all answer tokens. The sign "
    "of a scalar means nothing by itself: A and B may change it together."
)
SHOWN = 3


def section(findings: Findings) -> Section | None:
    """Two rows for each adapter, one an end."""
    part: Row | None = findings.get("adapter_contexts")
    if not part or not part.get("adapters"):
        return None
    adapters: Sequence[Row] = part["adapters"]
    columns = ("Adapter", "Scalar", *(f"{name} context" for name in ("Strongest", "Second", "Third")))
    found = tuple(_row(adapter, end) for adapter in adapters for end in ("high", "low"))
    told = (("answers searched", number(part.get("answers"))), ("tokens", number(adapters[0].get("tokens"))))
    told += (("contexts", "the strongest that differ in the token or the word before it"),)
    left = part.get("of", len(adapters)) - len(adapters)
    told += (("left out", f"{left} of {part['of']}, those whose scalars vary least"),) if left else ()
    return Section("adapter-contexts", "Where each adapter fires", LEAD, [Table(columns, found, stack=True)], told)


def _row(adapter: Row, end: str) -> tuple[Cell, ...]:
    name = str(adapter["label"]) + (f", row {adapter['index']}" if adapter.get("index") else "")
    about = f"mean {decimal(adapter['mean'])}, deviation {decimal(adapter['deviation'])}" if end == "high" else ""
    shown = [Cell(_words(peak), _strength(peak)) for peak in distinct(adapter[end])[:SHOWN]]
    shown += [Cell("\u2013")] * (SHOWN - len(shown))
    return (Cell(name, about), Cell("largest" if end == "high" else "smallest"), *shown)


def distinct(peaks: Sequence[Row]) -> list[Row]:
    """The first of those that share the token and the word before it."""
    seen: dict[tuple[str, str], Row] = {}
    for peak in peaks:
        before = str(peak["before"]).split()
        seen.setdefault((str(peak["token"]).strip(), before[-1] if before else ""), peak)
    return list(seen.values())


def _words(peak: Row) -> str:
    before, after = str(peak["before"]).split()[-6:], str(peak["after"]).split()[:5]
    return " ".join([*before, f"[{str(peak['token']).strip()}]", *after])


def _strength(peak: Row) -> str:
    sign = "+" if peak["z"] > 0 else ""
    return f"{sign}{decimal(peak['z'], 1)} deviations, answer of the {peak['arm']} model"
