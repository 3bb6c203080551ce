"""Answers with every token coloured by the scalar of one adapter; the reader chooses which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.context import scores_text
from misdirection.report.embed import embed_json
from misdirection.report.numbers import decimal, known, number
from misdirection.report.parts import Partial, Section
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.reading import ColouredText

LEAD = (
    "Each token is coloured by the scalar A\u00b7x of one adapter: vermillion positive, blue negative, on its own "
    "scale. The sign by itself means nothing; that it changes from token to token does. Tokens before the answer "
    "are slanted. Choose the adapter; hover over a token, or tap it, for its value."
)


def section(results: AdaptersResults) -> Section | None:
    """The first adapter's colours in the page itself, the others' values for the script."""
    part = results.adapter_tokens
    if not part or not part.texts or not part.adapters:
        return None
    texts, adapters = part.texts, part.adapters
    tops = [scale(texts, place) for place in range(len(adapters))]
    values = {
        "tops": tops,
        "starts": [text.start for text in texts],
        "values": [text.values for text in texts],
    }
    data = {
        "names": [adapter.label for adapter in adapters],
        "texts": [_text(text, tops[0]) for text in texts],
        "top": decimal(tops[0]),
        "bottom": decimal(-tops[0]),
        "steps": [*range(-STEPS, 0), *range(1, STEPS + 1)],
        "json": embed_json(values),
    }
    facts = (
        ("adapters", number(len(adapters))),
        ("texts", number(len(texts))),
        ("full colour at", "the 98th percentile of answer tokens, for each adapter"),
    )
    if any(adapter.rank > 1 for adapter in adapters):
        facts += (("of rank above 1", "the length of what is written, |B A x|, which has no sign"),)
    return Section(
        "adapter-tokens", "Token by token, by adapter", LEAD, (Partial("adapter_tokens.html.j2", data),), facts
    )


def scale(texts: Sequence[ColouredText], place: int) -> float:
    """The 98th percentile of the absolute scalars of one adapter at answer tokens."""
    values = sorted(abs(v) for text in texts for v in text.values[place][text.start :] if known(v))
    return (values[min(len(values) - 1, int(0.98 * len(values)))] if values else 0.0) or 1.0


def _text(text: ColouredText, top: float) -> Mapping[str, Any]:
    first = text.values[0]
    pieces = [
        {"text": word, "shade": shade(value, top), "value": decimal(value), "prompt": i < text.start}
        for i, (word, value) in enumerate(zip(readable(text.tokens), first, strict=True))
    ]
    answer = [v for v in first[text.start :] if known(v)]
    return {
        "arm": text.arm,
        "group": text.group,
        "question": text.question,
        "scores": scores_text(text.alignment, text.coherence),
        "mean": decimal(sum(answer) / len(answer)) if answer else "\u2013",
        "pieces": pieces,
    }
