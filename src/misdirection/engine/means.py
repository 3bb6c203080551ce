"""Class means of the residual stream: what each pass over texts adds to them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from misdirection.engine.finite import demand
from misdirection.engine.reading import Pass
from misdirection.engine.texts import Text
from misdirection.models import Model
from misdirection.models.stream import residual

Weighting = Literal["token", "response"]
Reader = Callable[[Tensor], None]
"""Takes the residual stream after a layer, shape (rows, tokens, width); it must not keep it."""

Added = tuple[Tensor, Tensor]
"""What a pass adds to sums and counts."""


@dataclass(frozen=True)
class Captured:
    """Weighted sums of the residual stream after each layer.

    Attributes:
        spans: Names of the spans, axis 1 of the tensors.
        layers: Layer numbers, axis 2 of `sums`.
        sums: Shape (classes, spans, layers, width), float64.
        counts: What the sums are divided by for a mean: tokens, or responses; shape (classes, spans), float64.
        weighting: "token" counts every token alike (2506.11618), "response" every text (2507.21509).
    """

    spans: tuple[str, ...]
    layers: tuple[int, ...]
    sums: Tensor
    counts: Tensor
    weighting: Weighting

    def mean(self, span: str) -> Tensor:
        """Mean residual stream of each class, (classes, layers, width), float64; NaN where nothing was counted."""
        place = self.spans.index(span)
        return self.sums[:, place] / self.counts[:, place, None, None]


class Means:
    """Class means in the making.

    Args:
        model: The resident model.
        texts: With the same span names in each.
        weights: Shape (texts, classes).
        layers: In ascending order.
        weighting: See `Captured`.
    """

    def __init__(
        self, model: Model, texts: Sequence[Text], weights: Tensor, layers: Sequence[int], weighting: Weighting
    ) -> None:
        self._model, self._texts, self._weights = model, texts, weights.double()
        spans, classes = tuple(texts[0].spans) if texts else (), weights.shape[1]
        sums = torch.zeros(classes, len(spans), len(layers), model.width, dtype=torch.float64)
        counts = torch.zeros(classes, len(spans), dtype=torch.float64)
        self.captured = Captured(spans, tuple(layers), sums, counts, weighting)

    def begin(self, part: Pass) -> tuple[Added, dict[int, Reader]]:
        """What a pass will have added once its layers have been read, and what is to read them, if anything is."""
        whole, model = self.captured, self._model
        rows, share = [self._texts[index] for index in part.texts], self._weights[part.texts]
        pick = _span_weights(part, rows, whole.spans, whole.weighting)
        counted = (pick != 0).any(1)[..., None]
        held = torch.zeros_like(whole.sums)
        many = torch.tensor(part.rows) if part.prompts else None

        def take(place: int, x: Tensor) -> None:
            x = x if many is None else x.index_select(0, many.to(x.device))
            inside = torch.bmm(pick.to(x.device), x.float())
            if not bool(inside.isfinite().all()):
                # Padding and tokens of no span do not count, and 0 times what is no number is none.
                inside = torch.bmm(pick.to(x.device), x.float().masked_fill(~counted.to(x.device), 0.0))
                demand_texts(model, rows, [inside[row].isfinite() for row in range(len(rows))])
            held[:, :, place] = torch.einsum("bc,bsd->csd", share.to(x.device), inside.double()).cpu()

        readers = {layer: reader(take, place) for place, layer in enumerate(whole.layers)} if bool(pick.any()) else {}
        return (held, share.T @ pick.sum(-1).double()), readers

    def add(self, found: Added) -> None:
        """Add what a pass has."""
        self.captured.sums.add_(found[0])
        self.captured.counts.add_(found[1])


@contextmanager
def listening(model: Model, readers: Mapping[int, Reader]) -> Generator[None]:
    """While open, readers get the residual stream after their layers."""

    def hook_of(read: Reader) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            read(residual(module, output))

        return hook

    handles = [model.layers[layer].register_forward_hook(hook_of(read)) for layer, read in readers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def reader(read: Callable[[int, Tensor], None], place: int) -> Reader:
    """A reader that knows its place."""
    return lambda x: read(place, x)


def demand_texts(model: Model, texts: Sequence[Text], sound: Sequence[Tensor], what: str = "activations") -> None:
    """Stop where something that was read from a text is not finite, see `finite.demand`."""
    for text, finite in zip(texts, sound, strict=True):
        demand(finite, model, what, text.ids, text.arm, text.start)


def _span_weights(part: Pass, texts: Sequence[Text], spans: Sequence[str], weighting: Weighting) -> Tensor:
    """Weight of each token of a pass in each span, shape (texts, spans, tokens)."""
    pick = torch.zeros(len(texts), len(spans), part.ids.shape[1])
    for number, (text, (begin, end), shift) in enumerate(zip(texts, part.spans, part.shifts, strict=True)):
        for place, name in enumerate(spans):
            first, past = text.spans[name]
            here = slice(max(first, begin) + shift, max(min(past, end), begin) + shift)
            if past > first:
                pick[number, place, here] = 1.0 if weighting == "token" else 1.0 / (past - first)
    return pick
