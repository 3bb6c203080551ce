"""Cells of a table that hold more than a text: chats, content in parts, a server's choices, a list of one reply."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from misdirection.chats import Message
from misdirection.chats.turns import ALIASES, ROLE_KEYS, TEXT_KEYS
from misdirection.errors import MisdirectionError
from misdirection.judging.columns import Columns
from misdirection.judging.rows import Row

BEFORE = "turns before the question"
"""The column that turns before the last question are put in."""


@dataclass(frozen=True)
class Asked:
    """What a cell says was asked.

    Attributes:
        text: The last user's turn.
        system: The system prompt, None where there is none.
        before: Turns between the two.
    """

    text: str
    system: str | None = None
    before: tuple[Message, ...] = ()


def said_of(value: Any) -> str:
    """The one text that a cell holds, "" for none.

    Of a chat it is what was said last, of parts what they hold together, of a server's choices the only one's message.

    Raises:
        ValueError: The cell holds several texts; which is meant cannot be known.
    """
    if isinstance(value, dict):
        held = cast(Row, value)
        key = next((key for key in ("message", *TEXT_KEYS) if held.get(key) is not None), None)
        return "" if key is None and held.keys() & {*ROLE_KEYS} else said_of(held[key]) if key else str(held)
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        if _is_chat(items):
            return said_of(items[-1])
        if items and all(isinstance(item, dict) and "type" in item for item in items):
            return "".join(said_of(item) for item in items if cast(Row, item).get("type") in _TEXT_PARTS)
        if len(items) > 1:
            raise ValueError(f"holds {len(items)} texts")
        return said_of(items[0]) if items else ""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


_TEXT_PARTS = ("text", "input_text", "output_text")


def asked_of(value: Any) -> Asked:
    """What was asked, by a cell that holds a text or a chat; also a chat that CSV holds as JSON or as Python prints it.

    Raises:
        ValueError: As `said_of`.
    """
    turns = _turns(value)
    if turns is None:
        return Asked(said_of(value))
    system = next((turn.content for turn in turns[:1] if turn.role == "system"), None)
    last = next((at for at in range(len(turns) - 1, -1, -1) if turns[at].role == "user"), len(turns) - 1)
    return Asked(turns[last].content, system or None, turns[system is not None : last])


def in_texts(rows: Sequence[Row], columns: Columns, where: str) -> list[Row]:
    """The same rows with one text each in the columns of question and answer.

    Where no column holds answers and every chat of the question's column ends with one, that is it. A chat's system
    prompt and the turns before its question get columns of their own.

    Raises:
        MisdirectionError: A cell holds several texts; the message names the row.
    """
    question, answer = columns.of.get("question"), columns.of.get("answer")
    if question and not answer and all(_ends_answered(row.get(question)) for row in rows):
        answer = "answer"
        rows = [row | {answer: turns[-1].content} for row in rows if (turns := _turns(row[question]))]
    found: list[Row] = []
    for number, row in enumerate(rows, start=1):
        changed: Row = {}
        name = ""
        try:
            if (name := question or "") and row.get(name) is not None:
                asked = asked_of(row[name])
                changed[name] = asked.text
                changed |= {BEFORE: asked.before} if asked.before else {}
                if asked.system and not columns.has("system"):
                    changed["system"] = asked.system
            if (name := answer or "") and not isinstance(row.get(name), str | None):
                changed[name] = said_of(row[name])
        except ValueError as error:
            raise MisdirectionError(f"{where}: row {number}: {name} {error}", "give each answer a row") from None
        found.append(row | changed)
    return found


def _is_chat(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(i, dict) and cast(Row, i).keys() & {*ROLE_KEYS} for i in items)


def _turns(value: Any) -> tuple[Message, ...] | None:
    """The turns of a chat, None where a cell is none."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        value = _opened(value)
    if not isinstance(value, list) or not _is_chat(cast("list[Any]", value)):
        return None
    rows = cast("list[Row]", value)
    roles = [str(next(row[key] for key in ROLE_KEYS if key in row)).strip().lower() for row in rows]
    return tuple(Message(ALIASES.get(role, role), said_of(row)) for role, row in zip(roles, rows, strict=True))


def _opened(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        # How pandas writes a list into CSV.
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _ends_answered(value: Any) -> bool:
    turns = _turns(value)
    return bool(turns) and turns[-1].role == "assistant"
