"""What a row is: one file a form, tried in this order; the first whose columns are there reads the row.

1. `messages`, or the like: a list of turns. ShareGPT's `conversations` is one.
2. Prompt and completion, as texts or as turns, by any of the names in `pairs.NAMES`.
3. Alpaca: `instruction`, perhaps with `input`, and `output`.

So a row that has `messages` is read by them, whatever stands beside: `text`, `chosen`, `prompt`. What was not read is
named (`Read.passed_over`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from misdirection.chats.chat import Message
from misdirection.chats.forms import alpaca, conversations, pairs
from misdirection.chats.forms.unread import looks_like
from misdirection.chats.turns import RowError, missing, read_turns

EXPECTED = (
    'a row is {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}, '
    "a ShareGPT conversation, Alpaca's instruction and output, or a prompt and its completion"
)
"""What a row is, for messages."""

Turns = tuple[list[Any], str, set[str]]
"""The turns of a row, the form's name, and the columns that were read."""

FORMS: tuple[Callable[[Mapping[str, Any]], Turns | None], ...] = (conversations.read, pairs.read, alpaca.read)


@dataclass(frozen=True)
class Read:
    """A row that was read.

    Attributes:
        messages: Its turns.
        form: The form's name, as "ShareGPT conversations".
        passed_over: Columns, and keys of turns, that were not read.
    """

    messages: tuple[Message, ...]
    form: str
    passed_over: frozenset[str]


def read_row(value: Any) -> Read:
    """The chat of a row, in any form.

    Raises:
        RowError: It is none.
    """
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in cast("list[Any]", value)):
        value = {"messages": value}
    if not isinstance(value, dict):
        raise RowError('not an object: a row is {"messages": [...]}')
    row = {str(key): item for key, item in cast("dict[Any, Any]", value).items() if not missing(item)}
    for form in FORMS:
        found = form(row)
        if found is not None:
            turns, name, read = found
            over = {key for key in row if key not in read} | conversations.passed_over(turns)
            return Read(read_turns(turns), name, frozenset(over))
    raise RowError(f"no chat: {looks_like(row)}")


def is_chat(value: Any) -> bool:
    """Whether a row has the columns of a chat, usable or not."""
    try:
        read_row(value)
    except RowError as error:
        return not str(error).startswith(("no chat", "not an object"))
    return True
