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


@dataclass
class _Read:
    """Spans of a row, and what their tokens count in each class; of several texts, where they have the same.

    Attributes:
        text: The first of them.
        row: Of the pass.
        spans: Places in the row.
        share: Shape (spans, classes), float64.
    """

    text: int
    row: int
    spans: list[slice]
    share: Tensor


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
        read = self._read(part)
        texts, many = [self._texts[one.text] for one in read], torch.tensor([one.row for one in read])
        share = torch.stack([one.share for one in read]) if read else self._weights.new_zeros(0, *whole.counts.T.shape)
        pick = torch.zeros(len(read), len(whole.spans), part.ids.shape[1])
        for number, one in enumerate(read):
            for place, here in enumerate(one.spans):
                pick[number, place, here] = 1.0
        counted = pick.any(1)[..., None]
        held = torch.zeros_like(whole.sums)

        def take(place: int, x: Tensor) -> None:
            x = x.index_select(0, many.to(x.device)) if len(many) != len(x) or part.shared else x
            inside = torch.bmm(pick.to(x.device), x.float())
            if not bool(inside.isfinite().all()):
                # Padding and tokens of no span do not count, and 0 times what is no number is none.
                inside = torch.bmm(pick.to(x.device), x.float().masked_fill(~counted.to(x.device), 0.0))
                demand_texts(model, texts, [inside[row].isfinite() for row in range(len(texts))])
            held[:, :, place] = torch.einsum("bsc,bsd->csd", share.to(x.device), inside.double()).cpu()

        readers = {layer: reader(take, place) for place, layer in enumerate(whole.layers)} if read else {}
        return (held, torch.einsum("bsc,bs->cs", share, pick.sum(-1).double())), readers

    def _read(self, part: Pass) -> list[_Read]:
        """What is read of a pass: once for all texts that have the same spans in one row."""
        found: dict[object, _Read] = {}
        for index, row, (begin, end), shift in zip(part.texts, part.rows, part.spans, part.shifts, strict=True):
            spans = [self._texts[index].spans[name] for name in self.captured.spans]
            inside = [(max(first, begin), min(past, end)) for first, past in spans]
            here = [(first + shift, past + shift) if first < past else (0, 0) for first, past in inside]
            if not any(past for _, past in here):
                continue
            each = [max(1, past - first) if self.captured.weighting == "response" else 1 for first, past in spans]
            share = self._weights[index] / torch.tensor(each, dtype=torch.float64)[:, None]
            one = found.setdefault((row, *here), _Read(index, row, [slice(*span) for span in here], 0 * share))
            one.share += share
        return list(found.values())

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
