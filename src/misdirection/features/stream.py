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
from misdirection.features.dictionary import Dictionary
from misdirection.features.settings import POOLS
from misdirection.models import Model

CHUNK_VALUES = 4_000_000
"""Activations (tokens x latents) encoded at a time: 16 MB in float32, small enough to be reduced while in the cache."""

WAITING = 16
"""Texts whose sums wait to be added to those of their classes together."""


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
    tally = Tally(dictionary, weights, places)
    tally_texts(tally, dictionary, model, texts, span, layer=layer, budget=budget)
    return tally.finish()


def tally_texts(
    tally: Tally,
    dictionary: Dictionary,
    model: Model,
    texts: Sequence[Text],
    span: str,
    *,
    layer: int | None = None,
    before: int = 0,
    budget: int | None = None,
) -> None:
    """Read texts into a tally, whose rows for them start at `before`.

    Raises:
        DictionaryError: The dictionary does not fit the model, or its layer is not known.
        CaptureError: A span is missing.
    """
    at = dictionary.layer_in(model, layer)

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        tally.read([(before + i, texts[i].spans[span][0], held) for i, held in zip(batch, states, strict=True)])

    with torch.inference_mode():
        visit_states(model, texts, at, span, visit, budget=budget)


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


class Tally:
    """Statistics of latents as states come in, text by text; what is seen is encoded, reduced and forgotten.

    Only what fires is reduced: a chunk costs little more than the encoder's matrix product.

    Args:
        dictionary: What encodes.
        weights: Shape (texts, classes).
        places: Top contexts kept for each latent.
    """

    def __init__(self, dictionary: Dictionary, weights: Tensor, places: int) -> None:
        classes, latents = weights.shape[1], dictionary.latents
        self.dictionary = dictionary
        self.weights = weights.double()
        self.device = dictionary.encoder.device
        self.sums, self.squares = ({pool: self._zeros(classes, latents) for pool in POOLS} for _ in range(2))
        self.counts = {pool: self._zeros(classes) for pool in POOLS}
        self.fired = self._zeros(classes, latents)
        self.peak = torch.zeros(classes, latents, device=self.device)
        self.top = torch.zeros(places, latents, device=self.device)
        self.top_text = torch.full((places, latents), -1, dtype=torch.int32, device=self.device)
        self.top_token = torch.zeros(places, latents, dtype=torch.int32, device=self.device)
        self._texts: list[int] = []
        self._lengths: list[int] = []
        self._total, self._square, self._count = (self._zeros(WAITING, latents) for _ in range(3))
        self._largest = torch.zeros(WAITING, latents, device=self.device)
        self._place = torch.zeros(WAITING, latents, dtype=torch.int32, device=self.device)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=self.device)

    def read(self, parts: Sequence[tuple[int, int, Tensor]]) -> None:
        """Whole texts: the index of each, the place of its first token, and its states (tokens, width).

        A text without a token counts for nothing.
        """
        parts = [part for part in parts if len(part[2])]
        for first in range(0, len(parts), WAITING):
            some = parts[first : first + WAITING]
            self._texts, self._lengths = [text for text, _, _ in some], [len(states) for _, _, states in some]
            for chunk in _chunks(self._lengths, max(1, CHUNK_VALUES // self.dictionary.latents)):
                self._add([(row, some[row][1] + first, some[row][2][first:past]) for row, first, past in chunk])
            self._flush()

    def _add(self, chunk: Sequence[tuple[int, int, Tensor]]) -> None:
        """Some tokens of some waiting texts: the row of each, the place of its first token here, and its states."""
        tokens, latents, values = self.dictionary.active(torch.cat([states for _, _, states in chunk]))
        rows = torch.cat([torch.full((len(states),), row) for row, _, states in chunk]).to(self.device)
        names = torch.cat([torch.arange(first, first + len(states)) for _, first, states in chunk]).to(self.device)
        cells, exact, values = rows[tokens] * self.dictionary.latents + latents, values.double(), values.float()
        self._total.view(-1).index_add_(0, cells, exact)
        self._square.view(-1).index_add_(0, cells, exact**2)
        self._count.view(-1).index_add_(0, cells, torch.ones_like(exact))
        largest = self._largest.view(-1)
        before = largest[cells]
        largest.scatter_reduce_(0, cells, values, "amax")
        wins = (values > before) & (values == largest[cells])
        self._place.view(-1)[cells[wins]] = names[tokens[wins]].to(torch.int32)

    def _flush(self) -> None:
        """Add the waiting texts to the sums of their classes."""
        rows = len(self._texts)
        total, square, count, largest = (x[:rows] for x in (self._total, self._square, self._count, self._largest))
        index, lengths = torch.tensor(self._texts), torch.tensor(self._lengths, dtype=torch.float64)[:, None]
        share, lengths = self.weights[index].T.to(self.device), lengths.to(self.device)
        mean = total / lengths
        for pool, value, squared in (
            ("token", total, square),
            ("mean", mean, mean**2),
            ("max", largest.double(), largest.double() ** 2),
        ):
            self.sums[pool] += share @ value
            self.squares[pool] += share @ squared
            self.counts[pool] += (share @ lengths)[:, 0] if pool == "token" else share.sum(1)
        self.fired += share @ count
        for row, present in enumerate(share > 0):
            if bool(present.any()):
                self.peak[row] = torch.maximum(self.peak[row], largest[present].amax(0))
        self._keep(largest, index, self._place[:rows])
        for held in (self._total, self._square, self._count, self._largest):
            held.zero_()

    def _keep(self, largest: Tensor, index: Tensor, place: Tensor) -> None:
        """Merge the texts' largest activations into the top contexts, where any of them belongs there."""
        better = (largest.amax(0) > self.top[-1]).nonzero()[:, 0]
        if not len(better):
            return
        names = index.to(self.device, torch.int32)[:, None].expand(-1, len(better))
        values, order = torch.cat([self.top[:, better], largest[:, better]]).topk(len(self.top), dim=0)
        self.top[:, better] = values
        self.top_text[:, better] = torch.cat([self.top_text[:, better], names]).gather(0, order)
        self.top_token[:, better] = torch.cat([self.top_token[:, better], place[:, better]]).gather(0, order)

    def finish(self) -> LatentStatistics:
        """The sums of everything seen, on the CPU."""
        nothing = self.top <= 0
        found = (self.top, self.top_text.masked_fill(nothing, -1), self.top_token.masked_fill(nothing, 0))
        sums, squares, counts = (
            {pool: held.cpu() for pool, held in part.items()} for part in (self.sums, self.squares, self.counts)
        )
        contexts = Contexts(*(part.cpu() for part in found))
        return LatentStatistics(sums, squares, counts, self.fired.cpu(), self.peak.cpu(), contexts)
