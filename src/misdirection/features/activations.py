"""A model's residual stream as shuffled batches without an end, of which only a window is ever held.

An epoch is all texts in an order of its own, cut into windows of at most `room` tokens; the states of a window are
read, shuffled and handed on in batches, then forgotten. What is left of a window after its last whole batch is left
out of this epoch. Order and shuffle depend on (seed, epoch, window) only, so that a stream can start anywhere again
without running the model for what it skips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.features.dictionary import DictionaryError
from misdirection.models import Model


def activation_batches(
    model: Model,
    texts: Sequence[Text],
    layer: int,
    span: str,
    *,
    batch: int,
    room: int,
    seed: int = 0,
    skip: int = 0,
) -> Iterator[Tensor]:
    """Batches of states after one layer, for ever.

    Args:
        model: The resident model.
        texts: What is read, each under its arm.
        layer: After which decoder layer.
        span: Whose tokens are read.
        batch: States a batch.
        room: States held at once.
        seed: Of order and shuffle.
        skip: Batches to leave out at the start.

    Yields:
        Shape (batch, width), float32, on the model's device.

    Raises:
        DictionaryError: No window holds a whole batch.
        CaptureError: The layer is beyond the model, or a span beyond its text.
    """
    lengths = [past - first for first, past in (text.spans[span] for text in texts)]
    if min(room, sum(lengths)) < batch:
        raise DictionaryError(
            f"the corpus holds {sum(lengths):,} tokens and a batch {batch:,}", "give more texts, or a smaller --batch"
        )
    whole = sum(lengths) <= room
    held = torch.empty(0)
    for epoch in itertools.count():
        for number, window in enumerate(windows(lengths, room, seed, 0 if whole else epoch)):
            tokens = sum(lengths[index] for index in window)
            if skip >= tokens // batch:
                skip -= tokens // batch
                continue
            read = whole and len(held) > 0
            if len(held) < tokens:
                held = torch.empty(tokens, model.width, dtype=model.dtype, device=model.device)
            if not read:
                _read(model, [texts[index] for index in window], layer, span, held)
            order = torch.randperm(tokens, generator=_generator(seed, epoch, number + 1)).to(held.device)
            for at in range(skip, tokens // batch):
                yield held[order[at * batch : (at + 1) * batch]].float()
            skip = 0


def windows(lengths: Sequence[int], room: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of texts in the epoch's order, in groups of about equal size and at most `room` tokens.

    A text longer than that stands alone.
    """
    total = sum(lengths)
    size = total / -(-total // room)
    groups: list[list[int]] = []
    seen = held = 0
    for index in torch.randperm(len(lengths), generator=_generator(seed, epoch, 0)).tolist():
        if not groups or seen >= len(groups) * size or held + lengths[index] > room:
            groups.append([])
            held = 0
        groups[-1].append(index)
        seen += lengths[index]
        held += lengths[index]
    return groups


def _generator(*numbers: int) -> torch.Generator:
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return torch.Generator().manual_seed(seed)


def _read(model: Model, texts: Sequence[Text], layer: int, span: str, held: Tensor) -> None:
    """The states of all texts into `held`, each at its own place whatever the batches are."""
    ends = list(itertools.accumulate(text.spans[span][1] - text.spans[span][0] for text in texts))

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        for index, found in zip(batch, states, strict=True):
            held[ends[index] - len(found) : ends[index]].copy_(found)

    visit_states(model, texts, layer, span, visit)
