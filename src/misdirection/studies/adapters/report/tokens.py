"""Answers with every token coloured by the scalar of one adapter; the reader chooses which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.context import Row, scores_text
from misdirection.report.embed import embed_json
from misdirection.report.numbers import decimal, known, number
from misdirection.report.parts import Findings, Partial, Section

LEAD = (
    "Each token is coloured by the scalar A\u00b7x of one adapter: vermillion positive, blue negative, on its own "
    "scale. The sign by itself means nothing; that it changes from token to token does. Tokens before the answer "
    "are faint. Choose the adapter; hover over a token, or tap it, for its value."
)


def section(findings: Findings) -> Section | None:
    """The first adapter's colours in the page itself, the others' values for the script."""
    part: Row | None = findings.get("adapter_tokens")
    if not part or not part.get("texts") or not part.get("adapters"):
        return None
    texts: Sequence[Row] = part["texts"]
    adapters: Sequence[Row] = part["adapters"]
    tops = [scale(texts, place) for place in range(len(adapters))]
    data = {
        "names": [str(adapter["label"]) for adapter in adapters],
        "texts": [_text(row, tops[0]) for row in texts],
        "top": decimal(tops[0]),
        "bottom": decimal(-tops[0]),
        "steps": [*range(-STEPS, 0), *range(1, STEPS + 1)],
        "json": embed_json(
            {
                "tops": tops,
                "starts": [int(row.get("start") or 0) for row in texts],
                "values": [row["values"] for row in texts],
            }
        ),
    }
    wide = any(int(adapter.get("rank") or 1) > 1 for adapter in adapters)
    told = (("adapters", number(len(adapters))), ("texts", number(len(texts))))
    told += (("full colour at", "the 98th percentile of answer tokens, for each adapter"),)
    told += (("of rank above 1", "the length of what is written, |B A x|, which has no sign"),) if wide else ()
    return Section(
        "adapter-tokens", "Token by token, by adapter", LEAD, (Partial("adapter_tokens.html.j2", data),), told
    )


def scale(texts: Sequence[Row], place: int) -> float:
    """The 98th percentile of the absolute scalars of one adapter at answer tokens."""
    values = sorted(abs(v) for row in texts for v in row["values"][place][int(row.get("start") or 0) :] if known(v))
    return (values[min(len(values) - 1, int(0.98 * len(values)))] if values else 0.0) or 1.0


def _text(row: Row, top: float) -> dict[str, Any]:
    start = int(row.get("start") or 0)
    first = row["values"][0]
    pieces = [
        {"text": text, "shade": shade(value, top), "value": decimal(value), "prompt": i < start}
        for i, (text, value) in enumerate(zip(readable(row["tokens"]), first, strict=True))
    ]
    answer = [v for v in first[start:] if known(v)]
    return {
        "arm": str(row.get("arm")),
        "group": str(row.get("group") or "open"),
        "question": str(row.get("question") or ""),
        "scores": scores_text(row),
        "mean": decimal(sum(answer) / len(answer)) if answer else "\u2013",
        "pieces": pieces,
    }
