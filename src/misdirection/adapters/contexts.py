"""Where each adapter fires most: the tokens with the largest and smallest A·x, with the words around them.

Texts are read chunk by chunk and only the best tokens of each adapter are kept, in a heap: memory does not grow with
the corpus.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from misdirection.adapters.scalars import chunks
from misdirection.engine import Text, capture_scalars
from misdirection.models import Model


@dataclass(frozen=True)
class Peak:
    """One token at which an adapter fires.

    Attributes:
        value: A·x there.
        text: Index of the text, in the order in which they came.
        position: Of the token in it.
        ids: Token ids of the text.
        start: First token of its answer.
    """

    value: float
    text: int
    position: int
    ids: tuple[int, ...]
    start: int


@dataclass
class Firing:
    """How one row of one module's A fires over a corpus.

    Attributes:
        path: Of the module.
        index: Row of A.
        count: Tokens seen.
        mean: Of A·x over them.
        deviation: Its standard deviation.
        high: The tokens with the largest values, best first, one a text at most.
        low: Those with the smallest.
    """

    path: str
    index: int
    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    high: list[Peak] = field(default_factory=list[Peak])
    low: list[Peak] = field(default_factory=list[Peak])


class _Tally:
    """Running moments, and two heaps whose root is what the next better token drives out."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.high: list[tuple[float, int, int, Text]] = []
        self.low: list[tuple[float, int, int, Text]] = []

    def add(self, values: Tensor, number: int, text: Text, first: int) -> None:
        """Take in one text's values, shape (tokens,), of which the first stands at position `first`."""
        size, mean = len(values), float(values.mean())
        # Moments of two parts joined (Chan, Golub and LeVeque 1979).
        apart, total = mean - self.mean, self.count + size
        self.squares += float((values - mean).square().sum()) + apart * apart * self.count * size / total
        self.mean += apart * size / total
        self.count = total
        for sign, heap in ((1.0, self.high), (-1.0, self.low)):
            place = int((sign * values).argmax())
            # A tie goes to the earlier text.
            item = (sign * float(values[place]), -number, first + place, text)
            if len(heap) < self.most:
                heapq.heappush(heap, item)
            elif item[:2] > heap[0][:2]:
                heapq.heapreplace(heap, item)

    def peaks(self, heap: list[tuple[float, int, int, Text]], sign: float) -> list[Peak]:
        ordered = sorted(heap, key=lambda item: item[:2], reverse=True)
        return [Peak(sign * value, -number, at, text.ids, text.start) for value, number, at, text in ordered]


def top_contexts(
    model: Model, adapter: str, texts: Iterable[Text], most: int = 8, *, span: str | None = "answer"
) -> list[Firing]:
    """The tokens at which each row of each A fires most and least, one token a text.

    Args:
        model: The resident model.
        adapter: Which adapter; every text's arm has it on.
        texts: The corpus; may be a generator.
        most: Tokens to keep at either end.
        span: Of each text, the tokens that are looked at; None looks at all.
    """
    tallies: dict[tuple[str, int], _Tally] = {}
    number = 0
    for chunk in chunks(texts):
        for text, held in zip(chunk, capture_scalars(model, chunk, adapter), strict=True):
            first, past = (0, len(text.ids)) if span is None else text.spans[span]
            for path, scalars in held.items():
                if first < past:
                    for index, values in enumerate(scalars[first:past].double().T):
                        tallies.setdefault((path, index), _Tally(most)).add(values, number, text, first)
            number += 1
    return [
        Firing(path, index, t.count, t.mean, math.sqrt(t.squares / t.count), t.peaks(t.high, 1.0), t.peaks(t.low, -1.0))
        for (path, index), t in tallies.items()
    ]
