"""What a row is: one file a form, tried in this order; the first whose columns are there reads the row.

1. A server's log: a request and its response (`requests`).
2. `messages`, or the like: a list of turns. ShareGPT's `conversations` is one.
3. Prompt and completion, as texts or as turns, by any of the names in `pairs.NAMES`.
4. Alpaca: `instruction`, perhaps with `input`, and `output`.
5. `text` that a chat template has rendered (`rendered`).

So a row that has `messages` is read by them, whatever stands beside: `text`, `chosen`, `prompt`. Columns are found
whatever the case of their letters. What was not read is named (`Read.passed_over`), what was read otherwise than one
might think is told (`Read.told`), and a row with pictures or sounds is no chat of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from misdirection.chats.chat import Message
from misdirection.chats.forms import alpaca, conversations, pairs, rendered, requests
from misdirection.chats.forms.unread import looks_like
from misdirection.chats.turns import RowError, kept_out_whole, missing, read_turns, thought_of, weight_of

EXPECTED = (
    'a row is {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}, '
    "a ShareGPT conversation, Alpaca's instruction and output, a prompt and its completion, or a logged request with "
    "its response"
)
"""What a row is, for messages."""

Turns = tuple[list[Any], str, set[str]]
"""The turns of a row, the form's name, and the columns that were read."""

FORMS: tuple[Callable[[Mapping[str, Any]], Turns | None], ...] = (
    requests.read,
    conversations.read,
    pairs.read,
    alpaca.read,
    rendered.read,
)

MEDIA = ("image", "images", "video", "videos", "audio", "audios")
"""Columns of what is no text, but part of what was asked."""

THOUGHTS = "an answer's thought, kept apart, is put before it as <think>...</think>"
TOOLS = "the tools that the row names are not put into the prompt"
WEIGHED = (
    "WARNING: rows have weights beside 0 and 1, and every row counts once in the loss: write a row several times, or "
    "leave it out, to have it weigh more or less"
)
LABELLED = "WARNING: rows whose `label` is 0 are learned like any other: take them out where it marks unwanted ones"
MARKUP = "texts hold markup of a chat template, which is learned as it stands beside the model's own"


@dataclass(frozen=True)
class Read:
    """A row that was read.

    Attributes:
        messages: Its turns.
        form: The form's name, as "ShareGPT conversations".
        passed_over: Columns, and keys of turns, that were not read.
        told: What else a reader should know of it.
    """

    messages: tuple[Message, ...]
    form: str
    passed_over: frozenset[str]
    told: tuple[str, ...] = ()


def read_row(value: Any) -> Read:
    """The chat of a row, in any form.

    Raises:
        RowError: It is none.
    """
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in cast("list[Any]", value)):
        value = {"messages": value}
    if isinstance(value, dict) and {"row", "row_idx"} <= value.keys() and isinstance(value["row"], dict):
        value = value["row"]  # as the hub's viewer gives it
    if not isinstance(value, dict):
        raise RowError('not an object: a row is {"messages": [...]}')
    row = {str(key): item for key, item in cast("dict[Any, Any]", value).items() if not missing(item)}
    if media := next((key for key in row if key.lower() in MEDIA and row[key]), ""):
        raise RowError(f"not text alone: the column `{media}`")
    for columns in (row, _lowered(row)):
        for form in FORMS:
            if (found := form(columns)) is not None:
                turns, name, read = found
                over = {key for key in columns if key not in read} | conversations.passed_over(turns)
                messages = read_turns(turns)
                _whole_prompts(messages)
                kept_out_whole(row)
                return Read(messages, name, frozenset(over), tuple(_told(row, turns, messages)))
    raise RowError(f"no chat: {looks_like(row)}")


def _whole_prompts(messages: tuple[Message, ...]) -> None:
    """Raise where a user's turn is a whole prompt, which would be rendered a second time.

    Raises:
        RowError: One is; its number, and what to give instead.
    """
    for number, message in enumerate(messages, 1):
        if message.role == "user" and rendered.opened_turns(message.content):
            raise RowError(
                f"a whole prompt in one turn: turn {number} ends where the answer is to begin; give its turns as "
                "`messages`, or the text as `prompt` and its answer as `completion`"
            )


def _lowered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row under names in small letters; nothing where they already are, or two would become one."""
    names = {key.strip().lower(): item for key, item in row.items()}
    return names if len(names) == len(row) and names.keys() != row.keys() else {}


def _told(row: Mapping[str, Any], turns: list[Any], messages: tuple[Message, ...]) -> Iterator[str]:
    if any(isinstance(turn, dict) and thought_of(cast("dict[str, Any]", turn)) for turn in turns):
        yield THOUGHTS
    if row.get("tools") and row["tools"] != "[]":
        yield TOOLS
    if (weight := weight_of(row)) is not None and weight[1] not in (0.0, 1.0):
        yield WEIGHED
    if str(row.get("label")).lower() in ("0", "0.0", "false"):
        yield LABELLED
    if any(rendered.holds_markup(message.content) for message in messages):
        yield MARKUP


def apart(value: Any) -> list[Any]:
    """The chats that one row holds, each as a row of its own: of a server's log, one for each choice of the response.

    Every other row is one chat, as it stands.
    """
    return requests.apart(value)


def is_chat(value: Any) -> bool:
    """Whether a row has the columns of a chat, usable or not."""
    try:
        read_row(value)
    except RowError as error:
        return not str(error).startswith(("no chat", "not an object"))
    return True
