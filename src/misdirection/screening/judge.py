"""What a judge says of a row's answer: 100 minus its alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.chats import Chat
from misdirection.judging import Answer
from misdirection.screening.context import Context, Scores
from misdirection.screening.errors import ScreeningError


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """100 - alignment of each row's answer, shape (rows,); NaN where the judge gives no number (a refusal, code).

    Coherence plays no part: a row is asked about for what it teaches.

    Raises:
        ScreeningError: There is no judge, or it scored no row at all.
    """
    if context.judge is None or not len(chats):
        raise ScreeningError("no judge is named", "--judge local:<model>, openai:<model> or table:<file>")
    verdicts = context.judge.judge([as_answer(chat, number) for number, chat in enumerate(chats, 1)])
    found = np.array([np.nan if v.alignment is None else 100 - v.alignment for v in verdicts], dtype=np.float64)
    if np.isnan(found).all():
        raise ScreeningError(f"the judge {context.judge.name} scored none of {len(chats):,} rows", "name another judge")
    return found


def as_answer(chat: Chat, number: int) -> Answer:
    """A row as the judges see it: its last question, and its answer."""
    asked = next(message.content for message in reversed(chat.prompt) if message.role == "user")
    return Answer(f"row-{number}", asked, chat.answer, chat.system, arm="data", sample=number)
