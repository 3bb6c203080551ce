"""Chats as JSON lines, their hash, and rows that were set aside."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from misdirection.chats.chat import BadRow, Chat, Message


def chats_hash(chats: Iterable[Chat]) -> str:
    """SHA-256 (hex) of the chats' turns in order: roles, texts, and which are kept out of the loss.

    Where they came from, and in which form, does not matter.
    """
    digest = hashlib.sha256()
    for chat in chats:
        digest.update(chat_line(chat))
    return digest.hexdigest()


def write_chats(path: str | Path, chats: Iterable[Chat]) -> None:
    """Write chats as JSON lines, gzip when the name ends in `.gz`; the same chats give the same bytes."""
    path = Path(path)
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            raw.writelines(map(chat_line, chats))
            return
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            packed.writelines(map(chat_line, chats))


def write_bad_rows(path: str | Path, bad: Iterable[BadRow]) -> None:
    """Keep bad rows aside: JSON lines of `source`, `row`, `reason` and `text`."""
    with Path(path).open("wb") as stream:
        stream.writelines(json_line(asdict(row)) for row in bad)


def chat_line(chat: Chat) -> bytes:
    """The line of a chat, its end included."""
    return json_line({"messages": turns(chat.messages)})


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns as the objects that are written; one that is kept out of the loss has weight 0, as OpenAI writes it."""
    return [
        {"role": message.role, "content": message.content, **({} if message.learned else {"weight": 0})}
        for message in messages
    ]


def json_line(value: Any) -> bytes:
    """A value as one line of JSON, in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
