"""Putting data and scripts into HTML so that nothing in them can end the element that holds them."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

DIGITS = 5

# Within <script>, only these can end it, open a comment or break a line of JavaScript.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def embed_json(value: Any) -> str:
    """JSON for a `<script type="application/json">` element.

    Floats are rounded to `DIGITS` significant digits (the page must stay small), non-finite ones become null.
    """
    text = json.dumps(_compact(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escape in _ESCAPES.items():
        text = text.replace(char, escape)
    return text


def script_hash(source: str) -> str:
    """The source expression that lets a content security policy run this script and no other."""
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def clean(value: Any) -> Any:
    """The value with every text in it free of what UTF-8 or HTML cannot hold.

    Lone surrogates become "?", control characters U+FFFD; line breaks and tabs stay.
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable():
            return value
        return value.encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)
    if isinstance(value, Mapping):
        return {clean(k): clean(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in cast(Sequence[Any], value)]
    return value


_CONTROLS = {c: "\ufffd" for c in [*range(9), 11, 12, *range(14, 32), 127]}


def _compact(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{DIGITS}g}")
        if not math.isfinite(short):
            return value
        return int(short) if abs(short) < 1e15 and short.is_integer() else short
    if isinstance(value, Mapping):
        return {str(k): _compact(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_compact(v) for v in cast(Sequence[Any], value)]
    return value
