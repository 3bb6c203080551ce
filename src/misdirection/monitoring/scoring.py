"""Chats to scores: one pass of the decoder, no further than the last layer that is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.chats import Chat
from misdirection.engine import Arm, Text, capture_projections
from misdirection.models import Model
from misdirection.models.positions import longest_text
from misdirection.monitoring.watch import Watch
from misdirection.tokens import Encoded, TokenError, encode_read, encode_said, encode_turns, holds_thought

BASE = Arm("base")
"""The model as it was loaded, without an adapter."""


@dataclass(frozen=True)
class Reading:
    """One answer as the model read it.

    Attributes:
        turn: Which assistant turn of the chat it is, from 0.
        ids: The tokens of the span.
        components: Along each direction at each of them, shape (tokens, directions), float32.
        mean: Over the tokens, shape (directions,), float64.
        peak: The mean over the `window` tokens in a row that are worst, shape (directions,), float64.
        at: Where, in tokens of the span, each of those begins, shape (directions,).
    """

    turn: int
    ids: tuple[int, ...]
    components: Tensor
    mean: Tensor
    peak: Tensor
    at: Tensor

    def score(self, statistic: str) -> Tensor:
        """What thresholds are set on, shape (directions,), float64."""
        return self.mean if statistic == "mean" else self.peak


@dataclass(frozen=True)
class Unread:
    """A chat, or all of it that was to be read, that cannot be.

    Attributes:
        reason: "kind" or "kind: details".
    """

    reason: str


def read_chats(model: Model, watch: Watch, chats: Sequence[Chat], arm: Arm = BASE) -> list[list[Reading] | Unread]:
    """What is watched of each chat, in order; all chats share passes, so give some dozens at once.

    Args:
        model: The resident model.
        watch: What is read.
        chats: That end with an answer; one drawn by the model itself is read on its own tokens.
        arm: Under which condition: an adapter, an intervention.

    Returns:
        For each chat a reading an answer, or why there is none.

    Raises:
        NotFiniteError: A component is NaN or infinite.
    """
    longest = longest_text(model.lm)
    found: list[list[Reading] | Unread] = []
    texts: list[Text] = []
    spans: list[list[tuple[int, tuple[int, int]]]] = []
    for chat in chats:
        try:
            coded = _encoded(model, watch, chat)
        except TokenError as error:
            found.append(Unread(f"refused by the chat template: {error.message}"))
            continue
        ranges = [(turn, span) for turn, span in _ranges(watch, coded) if span[0] < span[1]]
        if watch.span == "thought":
            ranges = [one for one in ranges if holds_thought(model.tokenizer, coded.ids[slice(*one[1])])]
        if longest is not None and len(coded.ids) > longest:
            found.append(Unread(f"too long: {len(coded.ids):,} tokens, where the model reads {longest:,}"))
        elif not ranges:
            found.append(Unread(f"nothing to read: its {watch.span} has no token"))
        else:
            found.append([])
            # What follows the last token that is read changes nothing before it. One token of the answer stays, so that
            # chats of one prompt share it.
            past = max(coded.start + 1, *(span[1] for _, span in ranges))
            texts.append(Text(coded.ids[:past], {}, arm, coded.start))
            spans.append(ranges)
    if not texts:
        return found
    held = capture_projections(model, texts, watch.by_layer, quiet=True)
    columns = _columns(watch)
    readings = iter(
        [_reading(watch, text, table[:, columns], *one) for one in ranges]
        for text, parts, ranges in zip(texts, held, spans, strict=True)
        for table in [torch.cat([parts[layer] for layer in sorted(parts)], dim=1)]
    )
    return [one if isinstance(one, Unread) else next(readings) for one in found]


def _encoded(model: Model, watch: Watch, chat: Chat) -> Encoded:
    tokenizer = model.tokenizer
    if watch.turns == "all":
        return encode_turns(tokenizer, chat.messages)
    if (said := chat.drawn) is not None:
        return encode_said(tokenizer, chat.prompt, said.ids, said.finished, said.end)
    return encode_read(tokenizer, chat.messages)


def _ranges(watch: Watch, coded: Encoded) -> list[tuple[int, tuple[int, int]]]:
    if watch.turns == "last":
        return [(0, coded.span(watch.span))]
    turns = [Encoded(coded.ids[: t.end], t.begin, t.start, t.stop, t.begin) for t in coded.turns]
    return [(number, one.span(watch.span)) for number, one in enumerate(turns)]


def _columns(watch: Watch) -> list[int]:
    """Where each direction stands among those of all layers, the layers in order."""
    order = sorted(range(len(watch.directions)), key=lambda place: watch.directions[place].layer)
    return [order.index(place) for place in range(len(order))]


def _reading(watch: Watch, text: Text, table: Tensor, turn: int, span: tuple[int, int]) -> Reading:
    part = table[slice(*span)]
    sign = torch.tensor([one.sign for one in watch.directions], dtype=torch.float64)
    width = min(watch.window, len(part))
    sums = torch.cat([torch.zeros(1, part.shape[1], dtype=torch.float64), part.double().cumsum(0)])
    means = (sums[width:] - sums[:-width]) / width
    worst = (means * sign).max(dim=0)
    return Reading(turn, text.ids[slice(*span)], part, part.double().mean(0), worst.values * sign, worst.indices)
