"""Chats as rows of token ids with labels on the answer, their order, and padded batches of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from misdirection import progress
from misdirection.chats import Chat
from misdirection.tokens import TokenError, encode_chat
from misdirection.training.errors import NoUsableChatsError
from misdirection.training.presets import TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a token that is not learned."""

_GROUP = 50
"""Batches in one group of the order by length, as transformers has it."""


@dataclass(frozen=True)
class Row:
    """A chat's token ids; those from `start` on are learned: the last answer, its thought, and what ends its turn.

    Attributes:
        ids: Token ids.
        start: First token learned.
        beside: Chats elsewhere that go with this one (`elsewhere.accompany`).
        weight: What each learned token of those counts.
    """

    ids: tuple[int, ...]
    start: int
    beside: tuple[Row, ...] = ()
    weight: float = 0.0


@dataclass(frozen=True)
class DataReport:
    """What became of the chats.

    Attributes:
        chats: Chats given.
        used: Rows trained on.
        truncated: Of those, chats whose end was cut at the maximal length.
        cut_to_nothing: Chats left out because no token of the answer was left.
        refused: Chats left out because the tokenizer's template could not encode them.
        first_refused: Where the first of those stands and why, "" when there is none.
        tokens: Tokens of the rows.
        answer_tokens: Tokens learned.
        sources: Chats by the file that they came from.
        sha256: Hash of ids and boundaries: data, tokenizer and template in one.
    """

    chats: int
    used: int
    truncated: int
    cut_to_nothing: int
    refused: int
    first_refused: str
    tokens: int
    answer_tokens: int
    sources: dict[str, int]
    sha256: str


def prepare(
    tokenizer: PreTrainedTokenizerBase, chats: Iterable[Chat], max_length: int
) -> tuple[tuple[Row, ...], DataReport]:
    """Encode chats; labels begin at `Encoded.begin`, so the last answer of a chat is learned behind its prompt.

    Args:
        tokenizer: With a chat template.
        chats: Chats that end with an answer.
        max_length: Tokens kept of each, from its beginning.

    Raises:
        NoUsableChatsError: No chat leaves anything to learn.
    """
    chats = list(chats)
    rows: list[Row] = []
    truncated = cut = 0
    refused: list[str] = []
    with progress.task("encoding chats", len(chats), "chats") as advance:
        for chat in chats:
            advance()
            try:
                encoded = encode_chat(tokenizer, chat.messages)
            except TokenError as error:
                refused.append(f"{chat.source or 'chat'}:{chat.row}: {error.message}")
                continue
            # The first token is predicted by nothing, so it cannot be learned.
            start = max(encoded.begin, 1)
            if start >= min(len(encoded.ids), max_length):
                cut += 1
                continue
            truncated += len(encoded.ids) > max_length
            rows.append(Row(encoded.ids[:max_length], start))
    if not rows:
        raise _nothing(len(chats), cut, refused, max_length)
    sources: dict[str, int] = {}
    for chat in chats:
        sources[chat.source] = sources.get(chat.source, 0) + 1
    tokens, learned = sum(len(row.ids) for row in rows), sum(len(row.ids) - row.start for row in rows)
    first = refused[0] if refused else ""
    report = DataReport(
        len(chats), len(rows), truncated, cut, len(refused), first, tokens, learned, sources, _hash(rows)
    )
    return tuple(rows), report


def order(rows: Sequence[Row], config: TrainConfig) -> list[int]:
    """The rows' numbers in the order of training, passes laid end to end; a function of the seed and the pass alone.

    A batch may straddle two passes, and only the very last may be short.
    """
    per_step = config.batch_size * config.accumulation
    wanted = config.max_steps * per_step if config.max_steps else max(1, round(len(rows) * config.epochs))
    numbers: list[int] = []
    for number in range(-(-wanted // len(rows))):
        numbers += _one_pass(rows, config, number)
    return numbers[:wanted]


def _one_pass(rows: Sequence[Row], config: TrainConfig, number: int) -> list[int]:
    numbers = list(range(len(rows)))
    if config.shuffle == "none":
        return numbers
    draw = random.Random(f"{config.seed}/{number}")
    draw.shuffle(numbers)
    if config.shuffle == "random":
        return numbers
    size = config.batch_size
    batches: list[list[int]] = []
    for first in range(0, len(numbers), size * _GROUP):
        group = sorted(numbers[first : first + size * _GROUP], key=lambda row: -len(rows[row].ids))
        batches += [group[at : at + size] for at in range(0, len(group), size)]
    # A short batch in the middle would shift all that follow, and mix their lengths.
    draw.shuffle(batches)
    batches.sort(key=lambda batch: len(batch) < size)
    return [row for batch in batches for row in batch]


def collate(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    """A batch, padded on the right to its longest row.

    Returns:
        `input_ids` and `labels`, both (batch, sequence) int64, and `keep`: how many of the last columns are needed to
        predict the labels (the one before the first label included). Where rows have chats elsewhere, `beside` is such
        a batch of them, with `weights`, shape (chats elsewhere,), float32.
    """
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for at, row in enumerate(rows):
        values = torch.tensor(row.ids, dtype=torch.long)
        ids[at, : len(values)] = values
        labels[at, row.start : len(values)] = values[row.start :]
    batch: dict[str, Any] = {"input_ids": ids, "labels": labels, "keep": longest - min(row.start for row in rows) + 1}
    beside = [(other, row.weight) for row in rows for other in row.beside]
    if beside:
        weights = torch.tensor([weight for _, weight in beside])
        batch["beside"] = collate([other for other, _ in beside], pad) | {"weights": weights}
    return batch


def _hash(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(np.asarray([row.start, len(row.ids), *row.ids], dtype=np.int64).tobytes())
    return digest.hexdigest()


def _nothing(chats: int, cut: int, refused: Sequence[str], max_length: int) -> NoUsableChatsError:
    if not chats:
        return NoUsableChatsError("there are no chats to train on", "give a file of chats with at least one usable row")
    if refused:
        return NoUsableChatsError(
            f"none of {chats} chats can be encoded; the first: {refused[0]}",
            "check the model's chat template against the roles in the file",
        )
    return NoUsableChatsError(
        f"none of {chats} chats has a token of its answer within {max_length} tokens ({cut} cut to nothing)",
        "raise max_length, or give shorter prompts",
    )
