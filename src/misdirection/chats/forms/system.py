"""A system prompt that stands in a column of its own, beside the turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.chats.turns import RowError

COLUMNS = ("system", "system_prompt", "system_message")


def with_system(row: Mapping[str, Any], turns: list[Any]) -> tuple[list[Any], set[str]]:
    """The turns behind the row's system prompt, where it has one that is not empty, and the columns read.

    Raises:
        RowError: It has another one than its turns have.
    """
    column = next((name for name in COLUMNS if name in row), None)
    if column is None or row[column] == "":
        return turns, set(COLUMNS)
    first: Any = turns[0] if turns else None
    if isinstance(first, dict) and (first.get("role") or first.get("from")) in ("system", "developer"):
        if row[column] in (first.get("content"), first.get("value")):
            return turns, {column}
        raise RowError(f"two system prompts: the column '{column}', and the first turn")
    return [{"role": "system", "content": row[column]}, *turns], {column}
