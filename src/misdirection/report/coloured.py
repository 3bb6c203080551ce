"""Tokens as coloured text: their words, and the shade of a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report.numbers import known

STEPS = 8
"""Shades to either side of zero."""

# How tokenizers write a leading space and a line break.
_SPACES = {"\u0120": " ", "\u2581": " ", "\u010a": "\n"}


def shade(value: Any, top: float) -> str:
    """The class of a token: "" near zero, else p1 .. p8 or n1 .. n8."""
    if not known(value):
        return ""
    step = min(STEPS, round(abs(value) / top * STEPS))
    return "" if step == 0 else f"{'p' if value > 0 else 'n'}{step}"


def readable(tokens: Sequence[str]) -> list[str]:
    """Tokens as text: markers of spaces and breaks resolved; a space before each where the tokenizer marks none."""
    texts = [_resolve(str(t)) for t in tokens]
    spaced = any(t[:1].isspace() or t[-1:].isspace() for t in texts)
    if spaced or len(texts) < 2:
        return texts
    return [t if i == 0 or t in ".,;:!?)" else f" {t}" for i, t in enumerate(texts)]


def _resolve(token: str) -> str:
    for mark, text in _SPACES.items():
        token = token.replace(mark, text)
    return token
