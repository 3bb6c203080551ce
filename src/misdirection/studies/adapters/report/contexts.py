"""Where each adapter fires most."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report.numbers import decimal, number
from misdirection.report.parts import Cell, Section, Table
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.reading import FiringRow, PeakRow

LEAD = (
    "The answer tokens at which each adapter's scalar A\u00b7x is largest and smallest, one an answer, with the words "
    "around them (the token itself in brackets), in standard deviations from the mean over all answer tokens. The sign "
    "of a scalar means nothing by itself: A and B may change it together."
)
SHOWN = 3


def section(results: AdaptersResults) -> Section | None:
    """Two rows for each adapter, one an end."""
    part = results.adapter_contexts
    if not part or not part.adapters:
        return None
    columns = ("Adapter", "Scalar", *(f"{name} context" for name in ("Strongest", "Second", "Third")))
    rows = tuple(row for adapter in part.adapters for row in _ends(adapter))
    facts = (
        ("answers searched", number(part.answers)),
        ("tokens", number(part.adapters[0].tokens)),
        ("contexts", "the strongest that differ in the token or the word before it"),
    )
    left = part.of - len(part.adapters)
    facts += (("left out", f"{left} of {part.of}, those whose scalars vary least"),) if left else ()
    table = Table(columns, rows, stack=True)
    return Section("adapter-contexts", "Where each adapter fires", LEAD, [table], facts)


def _ends(adapter: FiringRow) -> tuple[tuple[Cell, ...], ...]:
    name = adapter.label + (f", row {adapter.index}" if adapter.index else "")
    about = f"mean {decimal(adapter.mean)}, deviation {decimal(adapter.deviation)}"
    return (
        (Cell(name, about), Cell("largest"), *_peaks(adapter.high)),
        (Cell(name), Cell("smallest"), *_peaks(adapter.low)),
    )


def _peaks(peaks: Sequence[PeakRow]) -> list[Cell]:
    shown = [Cell(_words(peak), _strength(peak)) for peak in distinct(peaks)[:SHOWN]]
    return shown + [Cell("\u2013")] * (SHOWN - len(shown))


def distinct(peaks: Sequence[PeakRow]) -> list[PeakRow]:
    """The first of those that share the token and the word before it."""
    seen: dict[tuple[str, str], PeakRow] = {}
    for peak in peaks:
        before = peak.before.split()
        seen.setdefault((peak.token.strip(), before[-1] if before else ""), peak)
    return list(seen.values())


def _words(peak: PeakRow) -> str:
    return " ".join([*peak.before.split()[-6:], f"[{peak.token.strip()}]", *peak.after.split()[:5]])


def _strength(peak: PeakRow) -> str:
    sign = "+" if peak.z > 0 else ""
    return f"{sign}{decimal(peak.z, 1)} deviations, answer of the {peak.arm} model"
