"""Chats split into those to train on and those held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from misdirection.chats.chat import Chat, ChatError
from misdirection.chats.writing import json_line, turns


def split_chats(chats: Sequence[Chat], held_out: float, seed: int) -> tuple[tuple[Chat, ...], tuple[Chat, ...]]:
    """Split into (train, held out), each in the order of `chats`.

    Chats with the same prompt stay on one side. Which side depends on the prompts and the seed only, not on the order
    of the rows: prompts are ranked by a hash keyed with the seed and held out in that order while they fit.

    Args:
        chats: What to split.
        held_out: Share of the chats to hold out, in [0, 1); at least one chat when it is above 0.
        seed: Another seed holds out others.

    Raises:
        ChatError: The share is out of range, or no split leaves chats on both sides.
    """
    if not 0 <= held_out < 1:
        raise ChatError(f"the share to hold out is {held_out}", "give a share of 0 or more and less than 1")
    if held_out == 0:
        return tuple(chats), ()
    target = max(1, round(held_out * len(chats)))
    keys = [hashlib.sha256(json_line([seed, turns(chat.prompt)])).digest() for chat in chats]
    sizes = Counter(keys)
    held: set[bytes] = set()
    room = min(target, len(chats) - 1)
    for key in sorted(sizes):
        if sizes[key] <= room:
            held.add(key)
            room -= sizes[key]
    if not held:
        raise ChatError(
            f"{target:,} of {len(chats):,} chats cannot be held out: too many share one prompt, or there is only one",
            "give more chats, or hold out a larger share",
        )
    train = tuple(chat for chat, key in zip(chats, keys, strict=True) if key not in held)
    return train, tuple(chat for chat, key in zip(chats, keys, strict=True) if key in held)
