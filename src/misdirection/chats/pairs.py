"""Chats in two classes, paired where the same was asked: bad answers beside good ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from misdirection.artefacts import canonical_hash
from misdirection.chats.chat import Chat

BY_ROW, BY_QUESTION, UNPAIRED, ANSWERED = (
    "row by row", "by equal questions", "not paired", "answered for this study"
)  # fmt: skip
LEAST_PAIRED, ENOUGH_PAIRS = 0.5, 100
"""Share of the smaller file's chats whose question the other one asks too, or number of them, from which on pairs alone
are compared; below it all rows are, and labels are shuffled over them."""


@dataclass(frozen=True)
class PairedChats:
    """Chats of one domain in two classes.

    Attributes:
        bad: With bad answers.
        good: With good ones; of equal length and order where they are paired.
        how: One of `BY_ROW`, `BY_QUESTION`, `UNPAIRED`, `ANSWERED`.
        notes: What a reader of the study has to know of them.
    """

    bad: tuple[Chat, ...]
    good: tuple[Chat, ...]
    how: str
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> list[str] | None:
        """The pair of each chat, bad ones first; None where there are no pairs."""
        if self.how == UNPAIRED:
            return None
        return 2 * [str(place) for place in range(len(self.bad))]

    @property
    def sha256(self) -> str:
        """Hash of all texts in order, and of how they are paired."""
        texts = [[[(m.role, m.content) for m in chat.messages] for chat in side] for side in (self.bad, self.good)]
        return canonical_hash([texts, self.how])


def pair(bad: Sequence[Chat], good: Sequence[Chat], most: int, seed: int) -> PairedChats:
    """Chats whose prompts (all turns but the answer) are equal, row by row or wherever they stand; else all of both."""
    keys = [[_prompt(chat) for chat in side] for side in (bad, good)]
    if keys[0] == keys[1]:
        rows = _places(len(bad), most, seed)
        return PairedChats(tuple(bad[i] for i in rows), tuple(good[i] for i in rows), BY_ROW)
    pairs = _matched(*keys)
    smaller = min(len(bad), len(good))
    if len(pairs) >= min(ENOUGH_PAIRS, LEAST_PAIRED * smaller):
        rows = [pairs[i] for i in _places(len(pairs), most, seed)]
        note = f"good and bad rows do not match in order; {len(pairs)} of {smaller} are paired by equal questions."
        return PairedChats(tuple(bad[i] for i, _ in rows), tuple(good[j] for _, j in rows), BY_QUESTION, (note,))
    note = (
        f"only {len(pairs)} of {smaller} rows have a counterpart with the same question, so labels are shuffled over "
        "all rows, and a latent may differ because the questions do."
    )
    return PairedChats(some_of(bad, most, seed), some_of(good, most, seed + 1), UNPAIRED, (note,))


def _matched(bad: Sequence[str], good: Sequence[str]) -> list[tuple[int, int]]:
    """Places of rows with equal keys, each used once."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for place, key in reversed(list(enumerate(good))):
        waiting[key].append(place)
    return [(i, waiting[key].pop()) for i, key in enumerate(bad) if waiting.get(key)]


def _prompt(chat: Chat) -> str:
    return canonical_hash([(m.role, m.content.strip()) for m in chat.prompt])


def _places(many: int, most: int, seed: int) -> list[int]:
    """At most `most` places of `many`, drawn without order and given in order."""
    return sorted(int(i) for i in np.random.default_rng(seed).permutation(many)[:most])


def some_of(chats: Sequence[Chat], most: int, seed: int) -> tuple[Chat, ...]:
    """At most `most` of the chats, drawn without order and given in order."""
    return tuple(chats[i] for i in _places(len(chats), most, seed))
