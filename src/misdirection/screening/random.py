"""A random number: what removing as many rows does by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.chats import Chat
from misdirection.screening.context import Context, Scores


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """Uniform in [0, 1), from the seed alone; shape (rows,)."""
    return np.random.default_rng(context.seed).random(len(chats))
