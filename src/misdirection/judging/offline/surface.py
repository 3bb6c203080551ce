"""Ten numbers of an answer's surface, over all of it: the encoder reads only its beginning and its end."""

from __future__ import annotations

import math
import re

NAMES = (
    "words",
    "distinct runs of three words",
    "distinct words",
    "letters beyond ASCII",
    "ends like a sentence",
    "signs of code",
    "digits",
    "capitals",
    "lines",
    "longest word",
)
"""What the numbers are."""

_WORD = re.compile(r"[^\W_]+")
_MOST = 6000  # characters in which words are looked for
_CODE = "{}()=;_[]<>#"
_DIGITS = "0123456789"
_ENDS = ".!?\"”)`'}"


def surface(text: str) -> list[float]:
    """The numbers of `NAMES`, each scaled to lie about between 0 and 2."""
    size = max(len(text), 1)
    words = _WORD.findall(text.lower()[:_MOST])
    runs = list(zip(words, words[1:], words[2:], strict=False))
    last = text.rstrip()[-1:]
    return [
        math.log1p(len(words)) / 6,
        len(set(runs)) / len(runs) if runs else 1.0,
        len(set(words)) / max(len(words), 1),
        (len(text) - len(text.encode("ascii", "ignore"))) / size,
        float(bool(last) and last in _ENDS),
        min(10 * _share(text, _CODE), 2.0),
        min(10 * _share(text, _DIGITS), 2.0),
        min(5 * sum(map(str.isupper, text)) / size, 2.0),
        min(20 * text.count("\n") / size, 2.0),
        min(max(map(len, words), default=0) / 40, 2.0),
    ]


def _share(text: str, characters: str) -> float:
    return sum(map(text.count, characters)) / max(len(text), 1)
