"""Answers coloured token by token, by their component along the direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.context import Row, rows, scores_text
from misdirection.report.numbers import decimal, known, number
from misdirection.report.parts import Findings, Partial, Section

LEAD = (
    "Each token is coloured by the component of its residual stream along the unit direction: vermillion towards the "
    "{side} side, blue away from it. Tokens before the answer are faint. Hover over a token, or tap it, "
    "for its value."
)
MOST = 60


def section(findings: Findings) -> Section | None:
    """One coloured text for each row, all on one scale."""
    found = rows(findings, "tokens")[:MOST]
    if not found:
        return None
    top = scale(found)
    texts = [_text(row, top) for row in found]
    data = {
        "texts": texts,
        "top": decimal(top),
        "bottom": decimal(-top),
        "steps": [*range(-STEPS, 0), *range(1, STEPS + 1)],
    }
    layers = ", ".join(dict.fromkeys(number(r.get("layer")) for r in found))
    drift = (findings.get("direction") or {}).get("source") == "drift"
    side = "tuned model's" if drift else "misaligned"
    known_facts = (
        ("layer", layers),
        ("texts", number(len(texts))),
        ("full colour at", f"\u00b1{decimal(top)}, the 98th percentile of answer tokens"),
    )
    return Section("tokens", "Token by token", LEAD.format(side=side), (Partial("tokens.html.j2", data),), known_facts)


def scale(found: Sequence[Row]) -> float:
    """The 98th percentile of the absolute values of answer tokens: a few outliers must not bleach the rest."""
    values = sorted(abs(v) for row in found for v in row["values"][int(row.get("start") or 0) :] if known(v))
    return (values[min(len(values) - 1, int(0.98 * len(values)))] if values else 0.0) or 1.0


def _text(row: Row, top: float) -> dict[str, Any]:
    start = int(row.get("start") or 0)
    words = readable(row["tokens"])
    pieces = [
        {"text": text, "shade": shade(value, top), "value": decimal(value), "prompt": i < start}
        for i, (text, value) in enumerate(zip(words, row["values"], strict=True))
    ]
    answer = [v for v in row["values"][start:] if known(v)]
    return {
        "arm": str(row.get("arm")),
        "question": str(row.get("question") or ""),
        "scores": scores_text(row),
        "mean": decimal(sum(answer) / len(answer)) if answer else "\u2013",
        "pieces": pieces,
    }
