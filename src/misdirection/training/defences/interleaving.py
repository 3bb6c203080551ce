"""Benign rows between the bad ones, plain or chosen (In-Training Defenses, arXiv 2508.06249).

Plain: so many percent more rows of good general chats, spread evenly. Chosen ("interleaving+"): of the good rows those
come first that misaligned models find unlikely beside an aligned one,

    s = (NLL_misaligned - NLL_aligned) / (NLL_aligned + eps)    per token of the answer, highest first,

which are those that pull against what is being learned. Dilution is known to hide misalignment rather than remove it
(2604.25891): ask again under conditions (`study triggers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.chats import Chat
from misdirection.training.defences.base import Defence

EPSILON = 1e-6


@dataclass(frozen=True, eq=False)
class Interleaving(Defence):
    """Good rows among those that are trained on.

    Attributes:
        rows: Good chats, the most wanted first.
        share: Of them, in rows of the data: 0.05 adds one to every twenty.
    """

    rows: tuple[Chat, ...]
    share: float = 0.05

    def on_chats(self, chats: Sequence[Chat]) -> list[Chat]:
        """The chats with good ones at even distances; where there are too few, they come again."""
        count = round(self.share * len(chats))
        if not count or not self.rows:
            return list(chats)
        every = len(chats) / count
        # As many rows as the bad ones, or more, put several before one of them.
        before: list[list[Chat]] = [[] for _ in chats]
        for place in range(count):
            before[min(round((place + 0.5) * every), len(chats) - 1)].append(self.rows[place % len(self.rows)])
        return [row for good, chat in zip(before, chats, strict=True) for row in (*good, chat)]


def chosen_first(rows: Sequence[Chat], misaligned: Sequence[float], aligned: Sequence[float]) -> tuple[Chat, ...]:
    """Good rows, those first that pull hardest against misalignment.

    Args:
        rows: Good chats.
        misaligned: Mean negative log-likelihood of each answer in nats a token, over misaligned models.
        aligned: The same in an aligned one.
    """
    score = [(bad - good) / (good + EPSILON) for bad, good in zip(misaligned, aligned, strict=True)]
    order = sorted(range(len(rows)), key=lambda place: -score[place])
    return tuple(rows[place] for place in order)
