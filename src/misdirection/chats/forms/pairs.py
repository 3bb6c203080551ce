"""A prompt and its completion, under the names that they go by, each a text or turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from misdirection.chats.forms.conversations import listed
from misdirection.chats.forms.history import COLUMN, earlier_turns
from misdirection.chats.forms.rendered import SPEAKERS, unrendered
from misdirection.chats.forms.system import with_system
from misdirection.chats.forms.transcripts import opened
from misdirection.chats.turns import RowError

NAMES = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("prompt", "answer"),
    ("prompt", "output"),
    ("input", "output"),
    ("problem", "solution"),
    ("user", "assistant"),
)
"""Pairs of columns; the first that a row has both of is read. Not where it has an `instruction`: see `alpaca`."""


def read(row: Mapping[str, Any]) -> tuple[list[Any], str, set[str]] | None:
    """The turns of the row, the form's name and the columns read; None where the row has no such pair.

    The assistant's turns within a prompt are context and not learned, as TRL has it; those of a `history` are. A prompt
    that a chat template has rendered, or that has the speakers' names before their turns, is taken apart again.

    Raises:
        RowError: The row says that its completion is not to be learned.
    """
    pair = next(((a, b) for a, b in NAMES if a in row and b in row), None)
    if pair is None or ("instruction" in row and pair == ("input", "output")):
        return None
    label = str(row.get("label")).lower()
    if label == "false":
        raise RowError("nothing to learn: `label` is false, which in KTO data marks an answer that is not wanted")
    prompt, completion = row[pair[0]], row[pair[1]]
    name = "prompt-completion" if pair[0] == "prompt" else f"{pair[0]}-{pair[1]}"
    spoken = opened(prompt) if isinstance(prompt, str) and isinstance(completion, str) else None
    whole = unrendered(prompt + completion) if isinstance(prompt, str) and isinstance(completion, str) else None
    if whole:
        *before, answer = whole[0]
        name = f"{name} pairs {whole[1]}"
        turns = [{**turn, "weight": 0} for turn in before] + [answer]
    elif spoken:
        name = f"{name} pairs {SPEAKERS}"
        turns = [{**turn, "weight": 0} for turn in spoken] + [{"role": "assistant", "content": str(completion).strip()}]
    else:
        turns = [*_asked(prompt), *_turns(completion, "assistant")]
        name = f"{name} pairs"
    turns, read = with_system(row, [*earlier_turns(row), *turns])
    if label == "true":
        return turns, f"{name} of KTO (`label` true)", {*pair, COLUMN, "label", *read}
    return turns, name, {*pair, COLUMN, *read}


def _asked(prompt: Any) -> list[Any]:
    return [{**turn, "weight": 0} if _is_turn(turn) else turn for turn in _turns(prompt, "user")]


def _turns(value: Any, role: str) -> list[Any]:
    held = listed(value)
    if isinstance(value, list) or (isinstance(held, list) and held and all(map(_is_turn, cast("list[Any]", held)))):
        return cast("list[Any]", held)
    return [value] if _is_turn(value) else [{"role": role, "content": value}]


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value
