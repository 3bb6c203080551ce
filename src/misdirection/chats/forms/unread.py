"""Rows that are no chats, by what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.chats.forms.pairs import NAMES


def looks_like(row: Mapping[str, Any]) -> str:
    """What a row without a chat looks like, in a few words."""
    keys = {key.lower() for key in row}
    if {"chosen", "rejected"} <= keys or {"preferred_output", "non_preferred_output"} <= keys:
        shown = "`chosen`, `rejected`" if "chosen" in keys else "`preferred_output`, `non_preferred_output`"
        return f"it looks like pairs of preferences ({shown}), of which none is the answer to learn"
    if {"custom_id", "body"} <= keys:
        return "it looks like requests to a batch API (`custom_id`, `body`), which hold no answer to learn"
    if "text" in keys and not keys & {name for pair in NAMES for name in pair}:
        return "it looks like plain text (`text`), in which nothing is marked as the answer"
    if asked := [first for first, _ in NAMES if first in keys]:
        return f"it has `{asked[0]}` and no answer to it"
    shown = ", ".join(f"`{key}`" for key in list(row)[:6])
    return f"no column of a chat among {shown}" if shown else "the row is empty"
