"""Every latent over a corpus of any size: means, firing rates, maxima and top contexts by class, in one pass.

Texts run through the model in batches that stop at the dictionary's layer; the tokens of a span are encoded in chunks
and reduced text by text at once. What is ever held is one chunk (tokens x latents) and some rows of (latents,) a class;
never the tokens of the corpus x latents. Classes are columns of weights over texts, so shuffled labels and bootstrap
resamples are further columns of the same pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.models import Model

CHUNK_VALUES = 4_000_000
"""Activations (tokens x latents) encoded at a time: 16 MB in float32, small enough to be reduced while in the cache."""

POOLS = ("token", "mean", "max")
"""What counts once: every token; the mean over a text's tokens; the largest of a text's tokens."""


@dataclass(frozen=True)
class Contexts:
    """Where each latent is largest: texts by the largest activation in them.

    Attributes:
        values: Shape (places, latents), falling; 0 where fewer texts make it fire.
        texts: Index of the text, same shape; -1 where there is none.
        tokens: Place of the token in the text, same shape.
    """

    values: Tensor
    texts: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class LatentStatistics:
    """Weighted sums over the texts of each class; shapes (classes, latents), float64.

    Attributes:
        sums: By pool ("token", "mean", "max"): of the activations.
        squares: The same of their squares.
        counts: By pool, what the sums are divided by; shape (classes,).
        fired: Tokens at which the latent is above zero.
        peak: Largest activation in a text of positive weight, float32.
        contexts: Top contexts over all texts.
    """

    sums: dict[str, Tensor]
    squares: dict[str, Tensor]
    counts: dict[str, Tensor]
    fired: Tensor
    peak: Tensor
    contexts: Contexts

    def mean(self, pool: str = "token") -> Tensor:
        """Mean activation, shape (classes, latents); NaN for an empty class."""
        return self.sums[pool] / self.counts[pool][:, None]

    def variance(self, pool: str = "token") -> Tensor:
        """Variance (divided by the count), shape (classes, latents)."""
        return (self.squares[pool] / self.counts[pool][:, None] - self.mean(pool) ** 2).clamp(min=0)

    @property
    def firing_rate(self) -> Tensor:
        """Share of tokens at which a latent is above zero, shape (classes, latents)."""
        return self.fired / self.counts["token"][:, None]


def latent_statistics(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    weights: Tensor,
    *,
    span: str = "answer",
    layer: int | None = None,
    places: int = 8,
    budget: int | None = None,
) -> LatentStatistics:
    """Means, firing rates, maxima and top contexts of every latent, in one pass over the texts.

    Args:
        model: The resident model.
        dictionary: Of one of its layers.
        texts: What is read, each under its arm, with the span named.
        weights: Shape (texts, classes).
        span: Whose tokens count.
        layer: After which decoder layer; the dictionary's own by default.
        places: Top contexts kept for each latent.
        budget: Tokens a batch of the model may hold.

    Raises:
        DictionaryError: The dictionary does not fit the model, or its layer is not known.
        CaptureError: A span is missing.
    """
    at = dictionary.layer if layer is None else layer
    if at is None:
        raise DictionaryError("the dictionary does not say which layer it reads", "name the layer")
    if dictionary.width != model.width:
        raise DictionaryError(f"the dictionary reads a width of {dictionary.width}, {model.name} has {model.width}")
    tally = _Tally(dictionary, weights.double(), places)

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        for chunk in _chunks([len(part) for part in states], max(1, CHUNK_VALUES // dictionary.latents)):
            held = dictionary.encode(torch.cat([states[place][first:past] for place, first, past in chunk]))
            at = 0
            for place, first, past in chunk:
                start = texts[batch[place]].spans[span][0] + first
                tally.add(batch[place], held[at : at + past - first], start, past == len(states[place]))
                at += past - first

    with torch.inference_mode():
        visit_states(model, texts, at, span, visit, budget=budget)
    return tally.finish()


def _chunks(lengths: Sequence[int], most: int) -> list[list[tuple[int, int, int]]]:
    """(place, first, past) of parts of texts, packed into chunks of at most `most` tokens, in order."""
    chunks: list[list[tuple[int, int, int]]] = []
    room = 0
    for place, length in enumerate(lengths):
        first = 0
        while first < length:
            if room == 0:
                chunks.append([])
                room = most
            past = min(length, first + room)
            chunks[-1].append((place, first, past))
            room -= past - first
            first = past
    return chunks


@dataclass
class _Seen:
    """What one text has shown so far; tensors of shape (latents,)."""

    text: int
    total: Tensor
    square: Tensor
    fired: Tensor
    largest: Tensor
    place: Tensor
    length: int

    def joined(self, more: _Seen) -> _Seen:
        """With later tokens of the same text."""
        larger = more.largest > self.largest
        return _Seen(
            self.text,
            self.total + more.total,
            self.square + more.square,
            self.fired + more.fired,
            torch.where(larger, more.largest, self.largest),
            torch.where(larger, more.place, self.place),
            self.length + more.length,
        )


class _Tally:
    """What has been seen: sums by class, and of the text at hand."""

    def __init__(self, dictionary: Dictionary, weights: Tensor, places: int) -> None:
        classes, latents = weights.shape[1], dictionary.latents
        self.weights = weights
        self.device = dictionary.encoder.device
        self.sums, self.squares = ({pool: self._zeros(classes, latents) for pool in POOLS} for _ in range(2))
        self.counts = {pool: self._zeros(classes) for pool in POOLS}
        self.fired = self._zeros(classes, latents)
        self.peak = torch.zeros(classes, latents, device=self.device)
        self.top = torch.zeros(places, latents, device=self.device)
        self.top_text = torch.full((places, latents), -1, dtype=torch.int32, device=self.device)
        self.top_token = torch.zeros(places, latents, dtype=torch.int32, device=self.device)
        self._pending: list[_Seen] = []
        self._text: _Seen | None = None

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=self.device)

    def add(self, text: int, held: Tensor, start: int, last: bool) -> None:
        """Some tokens of a text, shape (tokens, latents); the first of them is token `start` of the text."""
        largest, place = held.max(dim=0)
        square = torch.linalg.vector_norm(held, dim=0).square()
        part = _Seen(
            text, held.sum(0), square, torch.count_nonzero(held, 0), largest, place.to(torch.int32) + start, len(held)
        )
        self._text = part if self._text is None else self._text.joined(part)
        if last:
            self._pending.append(self._text)
            self._text = None
            if len(self._pending) == 32:
                self._flush()

    def _flush(self) -> None:
        """Add the waiting texts to the sums of their classes."""
        if not self._pending:
            return
        index = torch.tensor([seen.text for seen in self._pending])
        names = ("total", "square", "fired", "largest", "place")
        total, square, fired, largest, place = (torch.stack([getattr(s, n) for s in self._pending]) for n in names)
        lengths = torch.tensor([seen.length for seen in self._pending], dtype=torch.float64)[:, None].to(self.device)
        share = self.weights[index].T.to(self.device)
        mean = total.double() / lengths
        for pool, value, squared in (
            ("token", total, square),
            ("mean", mean, mean**2),
            ("max", largest, largest.double() ** 2),
        ):
            self.sums[pool] += share @ value.double()
            self.squares[pool] += share @ squared.double()
            self.counts[pool] += (share @ lengths)[:, 0] if pool == "token" else share.sum(1)
        self.fired += share @ fired.double()
        for row, present in enumerate(share > 0):
            if bool(present.any()):
                self.peak[row] = torch.maximum(self.peak[row], largest[present].amax(0))
        self._keep(largest, index, place)
        self._pending.clear()

    def _keep(self, largest: Tensor, index: Tensor, place: Tensor) -> None:
        """Merge the texts' largest activations into the top contexts, where any of them belongs there."""
        better = (largest.amax(0) > self.top[-1]).nonzero()[:, 0]
        if not len(better):
            return
        names = index.to(self.device, torch.int32)[:, None].expand(-1, len(better))
        values = torch.cat([self.top[:, better], largest[:, better]])
        order = values.sort(dim=0, descending=True, stable=True).indices[: len(self.top)]
        self.top[:, better] = values.gather(0, order)
        self.top_text[:, better] = torch.cat([self.top_text[:, better], names]).gather(0, order)
        self.top_token[:, better] = torch.cat([self.top_token[:, better], place[:, better]]).gather(0, order)

    def finish(self) -> LatentStatistics:
        """The sums of everything seen."""
        self._flush()
        nothing = self.top <= 0
        contexts = Contexts(self.top, self.top_text.masked_fill(nothing, -1), self.top_token.masked_fill(nothing, 0))
        return LatentStatistics(self.sums, self.squares, self.counts, self.fired, self.peak, contexts)
