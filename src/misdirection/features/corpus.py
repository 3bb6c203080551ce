"""Chats and plain texts as token ids, split into what a dictionary is trained on and what it is measured on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.artefacts import canonical_hash
from misdirection.chats import BadRow, Chat, is_chat, load_chats, raw_rows
from misdirection.engine import Arm, Text
from misdirection.features.dictionary import DictionaryError
from misdirection.tokens import Encoded, TokenError, encode_read, encode_said

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPAN = "states"
"""Name of the span whose states are read."""


@dataclass(frozen=True)
class Corpus:
    """Texts as token ids.

    Attributes:
        ids: Of each text.
        spans: Tokens of each (first, past the last) whose states are read.
        bad: Rows that were set aside.
    """

    ids: tuple[tuple[int, ...], ...]
    spans: tuple[tuple[int, int], ...]
    bad: tuple[BadRow, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of ids and spans, in order."""
        return canonical_hash([self.ids, self.spans])

    def __canonical__(self) -> str:
        """What stands for it among the arguments of a measurement."""
        return self.sha256

    @property
    def tokens(self) -> int:
        """Tokens whose states are read."""
        return sum(past - first for first, past in self.spans)

    def texts(self, arm: Arm) -> list[Text]:
        """What the engine reads, under one arm; the span is called `SPAN`."""
        return [Text(ids, {SPAN: span}, arm, 1) for ids, span in zip(self.ids, self.spans, strict=True)]

    def part(self, chosen: Iterable[int]) -> Corpus:
        """Some of the texts, by index."""
        places = list(chosen)
        return Corpus(tuple(self.ids[i] for i in places), tuple(self.spans[i] for i in places))


def read_corpus(
    paths: Sequence[str | Path],
    tokenizer: PreTrainedTokenizerBase,
    *,
    span: str = "all",
    first: int = 1,
    longest: int = 512,
    strict: bool = False,
) -> Corpus:
    """Chats in any form, or plain texts ({"text": ...}), of files in any form (`misdirection.chats`).

    Args:
        paths: The files; each holds rows of one kind.
        tokenizer: Of the model.
        span: Of `tokens.SPANS`, for chats; plain texts are read whole.
        first: Tokens at the start of a text that are never read: at the first one many models hold a state far larger
            than all others (an attention sink), which a dictionary would spend itself on.
        longest: Tokens a text may have; more is cut off.
        strict: Stop at the first bad row.

    Raises:
        ChatError, DictionaryError: A file is missing, or holds no usable row.
    """
    parts: list[Corpus] = []
    for path in map(Path, paths):
        if _holds_texts(path):
            texts, bad = _read_texts(path, strict)
            parts.append(of_texts(texts, tokenizer, first=first, longest=longest))
        else:
            file = load_chats(path, strict=strict)
            parts.append(of_chats(file.chats, tokenizer, span=span, first=first, longest=longest))
            bad = list(file.bad)
        parts.append(Corpus((), (), tuple(bad)))
    return joined(parts)


def chat_texts(
    chats: Sequence[Chat],
    tokenizer: PreTrainedTokenizerBase,
    arm: Arm,
    *,
    span: str = "answer",
    longest: int = 2048,
) -> list[Text]:
    """Chats as texts of the engine, one each and in their order; the span is called by its own name.

    Unlike `of_chats` none is left out: what is cut off after `longest` tokens may leave an empty span, and so does a
    chat that the chat template refuses.
    """
    found: list[Text] = []
    for chat in chats:
        try:
            coded = _read(tokenizer, chat)
        except TokenError:
            plain = tuple(int(token) for token in tokenizer.encode(chat.messages[-1].content)) or (0,)
            coded = Encoded(plain[:longest], 0, min(len(plain), longest), min(len(plain), longest))
        first, past = (min(place, longest) for place in coded.span(span))
        found.append(Text(coded.ids[:longest], {span: (first, past)}, arm, min(coded.start, longest)))
    return found


def _read(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> Encoded:
    """A chat of others as the template writes it, one whose answer was drawn here on the tokens that were drawn."""
    if (said := chat.drawn) is not None:
        return encode_said(tokenizer, chat.prompt, said.ids, said.finished, said.end)
    return encode_read(tokenizer, chat.messages)


def of_chats(
    chats: Sequence[Chat], tokenizer: PreTrainedTokenizerBase, *, span: str = "all", first: int = 1, longest: int = 512
) -> Corpus:
    """Chats under the tokenizer's own template; one that it refuses is a bad row."""
    coded: list[Encoded] = []
    bad: list[BadRow] = []
    for chat in chats:
        try:
            coded.append(_read(tokenizer, chat))
        except TokenError as error:
            bad.append(BadRow(chat.source, chat.row, error.message, chat.messages[-1].content))
    held = _cut([(one.ids, one.span(span)) for one in coded], first, longest)
    return Corpus(held.ids, held.spans, tuple(bad))


def of_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, first: int = 1, longest: int = 512) -> Corpus:
    """Plain texts, with the special tokens that the tokenizer adds."""
    coded = [tuple(int(token) for token in tokenizer.encode(text)) for text in texts]
    return _cut([(ids, (0, len(ids))) for ids in coded], first, longest)


def _cut(coded: Iterable[tuple[tuple[int, ...], tuple[int, int]]], first: int, longest: int) -> Corpus:
    """At most `longest` tokens a text, its first ones not read; texts of which nothing is left are left out."""
    kept = [(ids[:longest], (max(start, first), min(past, longest))) for ids, (start, past) in coded]
    kept = [(ids, span) for ids, span in kept if span[0] < span[1]]
    return Corpus(tuple(ids for ids, _ in kept), tuple(span for _, span in kept))


def joined(parts: Sequence[Corpus]) -> Corpus:
    """Several corpora as one.

    Raises:
        DictionaryError: They hold no token to read.
    """
    whole = Corpus(
        tuple(ids for part in parts for ids in part.ids),
        tuple(span for part in parts for span in part.spans),
        tuple(row for part in parts for row in part.bad),
    )
    if not whole.tokens:
        raise DictionaryError("the corpus holds no token to read", "texts of two tokens or more are needed")
    return whole


def split_corpus(corpus: Corpus, held_out: int, seed: int) -> tuple[Corpus, Corpus]:
    """Split into (train, held out); equal texts stay on one side.

    Args:
        corpus: What to split.
        held_out: Tokens to hold out, at most a tenth of the corpus.
        seed: Another seed holds out others.

    Raises:
        DictionaryError: Nothing is left on one of the sides.
    """
    keys = [hashlib.sha256(json.dumps([seed, ids]).encode()).hexdigest() for ids in corpus.ids]
    sizes: dict[str, int] = {}
    for key, (start, past) in zip(keys, corpus.spans, strict=True):
        sizes[key] = sizes.get(key, 0) + past - start
    if len(sizes) < 2:
        raise DictionaryError("all texts of the corpus are equal, so none can be held out")
    room, held = min(held_out, corpus.tokens // 10), set[str]()
    for key in sorted(sizes):
        if not held or sizes[key] <= room:
            held.add(key)
            room -= sizes[key]
        if room <= 0:
            break
    sides = [[i for i, key in enumerate(keys) if (key in held) is side] for side in (False, True)]
    return corpus.part(sides[0]), corpus.part(sides[1])


def _holds_texts(path: Path) -> bool:
    """Whether the first row that is one has a text and is no chat; who reads it tells what is wrong with it."""
    if not path.exists():
        return False
    for raw in raw_rows(path):
        if isinstance(raw.value, dict):
            return "text" in raw.value and not is_chat(raw.value)
    return False


def _read_texts(path: Path, strict: bool) -> tuple[list[str], list[BadRow]]:
    texts: list[str] = []
    bad: list[BadRow] = []
    for raw in raw_rows(path):
        text: Any = raw.value.get("text") if isinstance(raw.value, dict) else None
        if isinstance(text, str) and text.strip():
            texts.append(text)
            continue
        bad.append(BadRow(raw.source, raw.row, "no text", raw.text[:2000]))
        if strict:
            raise DictionaryError(str(bad[0]), "mend the row, or leave strict off to set bad rows aside")
    if not texts:
        raise DictionaryError(f"{path} holds no usable row", 'each row must be {"text": "..."}, or a chat')
    return texts, bad
