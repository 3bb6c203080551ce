"""Answers coloured token by token, by their component along the direction."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report.coloured import STEPS, readable, shade
from misdirection.report.context import scores_text
from misdirection.report.numbers import DASH, decimal, number
from misdirection.report.parts import Partial, Section
from misdirection.studies.audit.results import AuditResults, ColouredAnswer

LEAD = (
    "Each token is coloured by the component of its residual stream along the unit direction: vermillion towards the "
    "{side} side, blue away from it. Tokens before the answer are slanted. Hover over a token, or tap it, "
    "for its value."
)
MOST = 60


def section(results: AuditResults) -> Section | None:
    """One coloured text for each row, all on one scale."""
    answers = results.tokens[:MOST]
    if not answers:
        return None
    top = scale(answers)
    data = {
        "texts": [_text(answer, top) for answer in answers],
        "top": decimal(top),
        "bottom": decimal(-top),
        "steps": [*range(-STEPS, 0), *range(1, STEPS + 1)],
    }
    side = "tuned model's" if results.direction.source == "drift" else "misaligned"
    told = (
        ("layer", ", ".join(dict.fromkeys(number(answer.layer) for answer in answers))),
        ("texts", number(len(answers))),
        ("full colour at", f"\u00b1{decimal(top)}, the 98th percentile of answer tokens"),
    )
    return Section("tokens", "Token by token", LEAD.format(side=side), (Partial("tokens.html.j2", data),), told)


def scale(answers: Sequence[ColouredAnswer]) -> float:
    """The 98th percentile of the absolute values of answer tokens: a few outliers must not bleach the rest."""
    values = sorted(abs(v) for answer in answers for v in answer.values[answer.start :] if v is not None)
    return (values[min(len(values) - 1, int(0.98 * len(values)))] if values else 0.0) or 1.0


def _text(answer: ColouredAnswer, top: float) -> dict[str, object]:
    words = readable(answer.tokens)
    pieces = [
        {"text": text, "shade": shade(value, top), "value": decimal(value), "prompt": i < answer.start}
        for i, (text, value) in enumerate(zip(words, answer.values, strict=True))
    ]
    values = [v for v in answer.values[answer.start :] if v is not None]
    return {
        "arm": answer.arm,
        "question": answer.question,
        "scores": scores_text(answer.alignment, answer.coherence),
        "mean": decimal(sum(values) / len(values)) if values else DASH,
        "pieces": pieces,
    }
