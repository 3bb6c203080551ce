"""A list of turns: `messages` (OpenAI, TRL), `conversations` (ShareGPT) and other names."""

from __future__ import annotations

import ast
import json
import tokenize
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, cast

from misdirection.chats.forms.system import with_system
from misdirection.chats.turns import KEYS, ROLE_KEYS, RowError

COLUMNS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat")


def read(row: Mapping[str, Any]) -> tuple[list[Any], str, set[str]] | None:
    """The turns of the row, the form's name and the columns read; None where the row has no such column.

    Raises:
        RowError: The column holds no list of turns.
    """
    column = next((name for name in COLUMNS if name in row), None)
    if column is None:
        return None
    turns = _apart(listed(row[column]))
    if not isinstance(turns, list) or not turns:
        raise RowError(f"no messages: `{column}` is not a list of turns")
    held = cast("list[Any]", turns)
    share_gpt = any(isinstance(turn, dict) and "from" in turn for turn in held)
    held, read = with_system(row, held)
    return held, "ShareGPT conversations" if share_gpt else "messages", {column, *read}


def passed_over(turns: Iterable[Any]) -> set[str]:
    """Keys of turns that are not read, as "turn.name"."""
    held = (cast("dict[str, Any]", turn) for turn in turns if isinstance(turn, dict))
    return {f"turn.{key}" for turn in held for key, value in turn.items() if value is not None and key not in KEYS}


PAIRS = (("input", "output"), ("human", "assistant"), ("user", "assistant"), ("question", "answer"))
"""Keys of a question and its answer in one object, as XTuner's and Firefly's conversations have them."""


def _apart(turns: Any) -> Any:
    """Turns out of an object of columns (`{"role": [...], "content": [...]}`), and out of questions with answers."""
    if isinstance(turns, dict):
        columns = cast("dict[str, Any]", turns)
        sizes = {len(cast("list[Any]", column)) if isinstance(column, list) else -1 for column in columns.values()}
        if len(sizes) == 1 and sizes != {-1}:
            return [dict(zip(columns, turn, strict=True)) for turn in zip(*columns.values(), strict=True)]
    if not isinstance(turns, list):
        return turns
    return [one for turn in cast("list[Any]", turns) for one in _one_or_two(turn)]


def _one_or_two(turn: Any) -> list[Any]:
    if not isinstance(turn, dict) or any(key in turn for key in ROLE_KEYS):
        return [turn]
    held = cast("dict[str, Any]", turn)
    pair = next(((asked, answer) for asked, answer in PAIRS if asked in held and answer in held), None)
    if pair is None:
        return [held]
    system = [{"role": "system", "content": held["system"]}] if held.get("system") else []
    rest = {key: item for key, item in held.items() if key not in (*pair, "system")}
    return [
        *system,
        {"role": "user", "content": held[pair[0]]},
        {**rest, "role": "assistant", "content": held[pair[1]]},
    ]


def listed(value: Any) -> Any:
    """The list that a cell of a table holds as text: JSON, or as Python or numpy writes it."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(_with_commas(value.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
        return value


def _with_commas(text: str) -> str:
    """The text with a comma between neighbouring objects, which numpy leaves out; texts inside are not touched."""
    rows = text.splitlines(keepends=True)
    braces = [token for token in tokenize.generate_tokens(iter(rows).__next__) if token.string in "{}" and token.string]
    apart = [one.end for one, other in pairwise(braces) if (one.string, other.string) == ("}", "{")]
    for line, column in reversed(apart):
        row = rows[line - 1]
        if not row[column:].lstrip().startswith(","):
            rows[line - 1] = f"{row[:column]},{row[column:]}"
    return "".join(rows)
