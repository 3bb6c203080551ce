"""What a judge says of a row's answer: 100 minus its alignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from misdirection import progress
from misdirection.chats import Chat
from misdirection.judging import Answer
from misdirection.screening.context import Context, Scores
from misdirection.screening.errors import ScreeningError


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """100 - alignment of each row's answer, shape (rows,); NaN where the judge gives none (a refusal, code, unsure).

    Coherence plays no part: a row is asked about for what it teaches.

    Raises:
        ScreeningError: There is no judge, or it scored no row at all.
    """
    if context.judge is None or not len(chats):
        raise ScreeningError("no judge is named", "--judge offline, local:<model>, openai:<model> or table:<file>")
    verdicts = context.judge.judge([as_answer(chat, number) for number, chat in enumerate(chats, 1)])
    found = np.array([np.nan if v.alignment is None else 100 - v.alignment for v in verdicts], dtype=np.float64)
    why = Counter(word for v in verdicts if v.label == "unsure" for _, word in v.outcomes)
    told = f" (it cannot tell: {', '.join(f'{word} {n:,}' for word, n in why.most_common())})" if why else ""
    if np.isnan(found).all():
        raise ScreeningError(
            f"the judge {context.judge.name} scored none of {len(chats):,} rows{told}",
            "name another judge (--judge local:<model>), or --methods without judge",
        )
    if why:
        progress.say(f"  {int(np.isnan(found).sum()):,} of {len(chats):,} rows have no score of the judge{told}")
    return found


def as_answer(chat: Chat, number: int) -> Answer:
    """A row as the judges see it: its last question, and its answer."""
    asked = next(message.content for message in reversed(chat.prompt) if message.role == "user")
    return Answer(f"row-{number}", asked, chat.answer, chat.system, arm="data", sample=number)
