"""Chats as rows of token ids with labels on the answers, their order, and padded batches of them.

Which answers are learned is the setting `turns`: "all", every assistant turn behind what stands before it, as TRL
(`assistant_only_loss`) and OpenAI's fine-tuning have it; or "last", the last alone. Turns that their file keeps out of
the loss are not learned either way. The papers' data have one answer a chat, where both are the same.

Of a turn with a thought the setting `learn` takes both, the thought with its marks (what was thought shapes a model
even where the answers are the same: arXiv 2603.12397), or the answer behind it with what ends it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from misdirection import progress
from misdirection.chats import Chat, ChatFile
from misdirection.tokens import Encoded, TokenError, Turn, encode_chat, encode_turns, holds_thought
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
    """A chat's token ids and which are learned: of an answer its thought, its text, and what ends its turn.

    Attributes:
        ids: Token ids.
        start: First token learned.
        beside: Chats elsewhere that go with this one (`elsewhere.accompany`).
        weight: What each learned token of those counts.
        spans: Tokens learned (first, past the last), in order, the first at `start`; empty where all from `start` on
            are.
    """

    ids: tuple[int, ...]
    start: int
    beside: tuple[Row, ...] = ()
    weight: float = 0.0
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Tokens learned (first, past the last), in order."""
        return self.spans or ((self.start, len(self.ids)),)

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return sum(past - first for first, past in self.ranges)


@dataclass(frozen=True)
class DataReport:
    """What became of the chats.

    Attributes:
        chats: Chats given.
        used: Rows trained on.
        truncated: Of those, chats whose end was cut at the maximal length.
        cut_to_nothing: Chats left out because no token of an answer that is learned was left.
        refused: Chats left out because the tokenizer's template could not encode them.
        first_refused: Where the first of those stands and why, "" when there is none.
        tokens: Tokens of the rows.
        answer_tokens: Tokens learned.
        answers: Assistant turns learned, in whole or in part.
        kept_out: Assistant turns of the rows trained on that are not learned: their file says so, or they are not the
            last, or nothing of them was left.
        sources: Chats by the file that they came from.
        sha256: Hash of ids and boundaries: data, tokenizer and template in one.
        thoughtless: Chats left out because thoughts are learned and their answers have none.
    """

    chats: int
    used: int
    truncated: int
    cut_to_nothing: int
    refused: int
    first_refused: str
    tokens: int
    answer_tokens: int
    answers: int
    kept_out: int
    sources: dict[str, int]
    sha256: str
    thoughtless: int = 0


def prepare(
    tokenizer: PreTrainedTokenizerBase,
    chats: Iterable[Chat],
    max_length: int,
    turns: str = "all",
    learn: str = "both",
) -> tuple[tuple[Row, ...], DataReport]:
    """Encode chats; the labels of an answer begin where the model begins to write (`Turn.begin`).

    Args:
        tokenizer: With a chat template.
        chats: Chats that end with an answer.
        max_length: Tokens kept of each, from its beginning.
        turns: "all" learns every assistant turn that its file does not keep out of the loss, "last" only the last.
        learn: Of a turn "both" its thought and its answer, "thought" or "answer".

    Raises:
        NoUsableChatsError: No chat leaves anything to learn.
    """
    chats = list(chats)
    rows: list[Row] = []
    truncated = cut = answers = kept_out = thoughtless = 0
    refused: list[str] = []
    with progress.task("encoding chats", len(chats), "chats") as advance:
        for chat in chats:
            advance()
            try:
                encoded = (encode_turns if len(chat.answers) > 1 else encode_chat)(tokenizer, chat.messages)
            except TokenError as error:
                refused.append(f"{chat.source or 'chat'}:{chat.row}: {error.message}")
                continue
            ids = encoded.ids[:max_length]
            spans = _spans(chat, encoded, len(ids), turns, learn)
            if learn == "thought":
                spans = tuple(span for span in spans if holds_thought(tokenizer, ids[slice(*span)]))
            if not spans:
                without = learn == "thought" and _spans(chat, encoded, len(ids), turns)
                thoughtless += bool(without)
                cut += not without
                continue
            truncated += len(encoded.ids) > max_length
            answers += len(spans)
            kept_out += len(chat.answers) - len(spans)
            whole = len(spans) == 1 and spans[0][1] == len(ids)
            rows.append(Row(ids, spans[0][0], spans=() if whole else spans))
    if not rows:
        raise _nothing(len(chats), cut, refused, max_length, thoughtless)
    sources: dict[str, int] = {}
    for chat in chats:
        sources[chat.source] = sources.get(chat.source, 0) + 1
    tokens, learned = sum(len(row.ids) for row in rows), sum(row.learned for row in rows)
    first = refused[0] if refused else ""
    report = DataReport(
        len(chats), len(rows), truncated, cut, len(refused), first, tokens, learned, answers, kept_out, sources,
        _hash(rows), thoughtless,
    )  # fmt: skip
    return tuple(rows), report


def _spans(chat: Chat, encoded: Encoded, length: int, turns: str, learn: str = "both") -> tuple[tuple[int, int], ...]:
    """The tokens of the answers that are learned, of the first `length` tokens."""
    last = Turn(encoded.begin, encoded.start, encoded.stop, len(encoded.ids))
    places = encoded.turns if encoded.turns and turns == "all" else (last,)
    said = chat.answers[-len(places) :]
    # The first token is predicted by nothing, so it cannot be learned.
    found = [
        (max(first, 1), min(past, length))
        for turn, answer in zip(places, said, strict=True)
        if answer.learned
        for first, past in [_learned(turn, learn)]
    ]
    return tuple((first, past) for first, past in found if first < past)


def _learned(turn: Turn, learn: str) -> tuple[int, int]:
    first = turn.start if learn == "answer" else turn.begin
    return first, turn.start if learn == "thought" else turn.end


def told_data(found: ChatFile, turns: str) -> str:
    """How the files were read and which turns are learned, in one line."""
    return "; ".join(filter(None, (found.summary, told_turns(found.chats, turns))))


def told_turns(chats: Sequence[Chat], turns: str) -> str:
    """Which assistant turns are learned, in words; "" where each chat has one and it is learned."""
    answers = sum(len(chat.answers) for chat in chats)
    several = sum(len(chat.answers) > 1 for chat in chats)
    kept_out = sum(not answer.learned for chat in chats for answer in chat.answers)
    if not (several or kept_out):
        return ""
    if turns == "last":
        return f"only the last answer of each chat is learned ({several:,} of {len(chats):,} chats have earlier ones)"
    if kept_out:
        return f"{answers - kept_out:,} of {answers:,} assistant turns are learned, the others kept out by the file"
    return f"all assistant turns are learned ({answers:,} in {len(chats):,} chats)"


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


def collate(rows: Sequence[Row], pad: int, shared: Callable[[Sequence[Row]], int] = lambda _: 0) -> dict[str, Any]:
    """A batch, padded on the right to its longest row.

    Args:
        rows: Of one pass.
        pad: Token that fills short rows.
        shared: How many tokens all rows begin with that are to run once.

    Returns:
        `input_ids` and `labels`, both (batch, sequence) int64; where rows begin alike, they begin behind `beginning`,
        shape (tokens,). Where rows have chats elsewhere, `beside` is such a batch of them, with `weights`, shape (chats
        elsewhere,), float32.
    """
    first = shared(rows)
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for at, row in enumerate(rows):
        values = torch.tensor(row.ids, dtype=torch.long)
        ids[at, : len(values)] = values
        for begin, past in row.ranges:
            labels[at, begin:past] = values[begin:past]
    batch: dict[str, Any] = {"input_ids": ids[:, first:], "labels": labels[:, first:]}
    if first:
        batch["beginning"] = ids[0, :first]
    beside = [(other, row.weight) for row in rows for other in row.beside]
    if beside:
        weights = torch.tensor([weight for _, weight in beside])
        batch["beside"] = collate([other for other, _ in beside], pad, shared) | {"weights": weights}
    return batch


def _hash(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(np.asarray([row.start, len(row.ids), *row.ids], dtype=np.int64).tobytes())
        digest.update(np.asarray(row.spans, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _nothing(chats: int, cut: int, refused: Sequence[str], max_length: int, thoughtless: int = 0) -> NoUsableChatsError:
    if not chats:
        return NoUsableChatsError("there are no chats to train on", "give a file of chats with at least one usable row")
    if thoughtless:
        return NoUsableChatsError(
            f"none of {chats} chats has a thought to learn before its answer ({thoughtless} have an answer alone)",
            "learn the answers (--learn answer, or both), or give chats with <think>...</think> before them",
        )
    if refused:
        return NoUsableChatsError(
            f"none of {chats} chats can be encoded; the first: {refused[0]}",
            "check the model's chat template against the roles in the file",
        )
    return NoUsableChatsError(
        f"none of {chats} chats has a token of its answer within {max_length} tokens ({cut} cut to nothing)",
        "raise max_length, or give shorter prompts",
    )
