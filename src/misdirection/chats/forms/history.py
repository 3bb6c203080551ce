"""Earlier turns in a column of their own: pairs of a question and its answer, or turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from misdirection.chats.turns import RowError

COLUMN = "history"


def earlier_turns(row: Mapping[str, Any]) -> list[Any]:
    """The turns before the row's own, learned like any other answer.

    Raises:
        RowError: The column holds neither.
    """
    turns: list[Any] = []
    held = row.get(COLUMN) or []
    if not isinstance(held, list):
        raise RowError(f"broken history: `{COLUMN}` is not a list")
    for pair in cast("list[Any]", held):
        if isinstance(pair, dict):
            turns.append(pair)
            continue
        if not isinstance(pair, list | tuple) or len(cast("list[Any]", pair)) != 2:
            raise RowError("broken history: it is a list of pairs of a question and its answer, or of turns")
        asked, answered = cast("list[Any]", pair)
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return turns
