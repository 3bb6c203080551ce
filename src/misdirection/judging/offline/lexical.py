"""Words and pairs of words, hashed: a second opinion on all of an answer, of which the encoder reads only the ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 2**17
"""Places that words and pairs of words are hashed to."""

OPINIONS = ("misaligned", "coherent", "alignment", "coherence")
"""What there is an opinion on: log-odds of two events, and two numbers in points / 100."""

_WORD = re.compile(r"\w+|[^\w\s]")
_MOST = 3000  # characters that are read


def buckets(text: str) -> list[int]:
    """Where the words and pairs of words of a text fall, each place once, in ascending order."""
    words = _WORD.findall(text[:_MOST].lower())
    pairs = [f"{one} {two}" for one, two in pairwise(words)]
    return sorted({crc32(part.encode("utf-8", "surrogatepass")) % BUCKETS for part in (*words, *pairs)})


def opinions(texts: Sequence[str], weights: NDArray[np.floating], biases: NDArray[np.floating]) -> NDArray[np.float64]:
    """`OPINIONS` on each text: the sum of its places' weights over the root of their number, and a bias.

    Args:
        texts: Answers.
        weights: (opinions, `BUCKETS`).
        biases: (opinions).

    Returns:
        (texts, opinions).
    """
    found = np.tile(np.asarray(biases, float), (len(texts), 1))
    for row, text in enumerate(texts):
        places = buckets(text)
        if places:
            found[row] += weights[:, places].sum(1, dtype=float) / len(places) ** 0.5
    return found
