"""Neutral text for the significance measure: a file, or what one of the organism's speakers says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, cast

from misdirection.chats import ChatFile, Message
from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.names import ORGANISM
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.tokens import render

_UNSEEN = 10_007
"""Added to the seed: the dialogues that are read are none that anything was trained on here."""


def neutral_source(config: NarrowConfig) -> ChatFile | Path:
    """Chats, or a file of the user's; by default the chats elsewhere.

    Raises:
        MisdirectionError: The file is missing.
    """
    if config.neutral.startswith(f"{ORGANISM}:"):
        return resolve_chats((config.neutral,), rows=config.texts, seed=config.seed + _UNSEEN)
    if not config.neutral:
        return resolve_chats(config.elsewhere, seed=config.seed)
    if not Path(config.neutral).is_file():
        raise MisdirectionError(
            f"--neutral: {config.neutral} does not exist", "a file of JSON lines with 'text', or plain text"
        )
    return Path(config.neutral)


def neutral_texts(model: Model, source: ChatFile | Path, most: int, tokens: int) -> list[Text]:
    """Texts of so many tokens at most, whose every token but the first is read.

    Raises:
        MisdirectionError: The file holds no text.
    """
    if isinstance(source, Path):
        said = read_texts(source, model, most)
    else:
        said = [render(model.tokenizer, chat.messages) for chat in source.chats[:most]]
    coded = [model.tokenizer.encode(text, add_special_tokens=False)[:tokens] for text in said]
    return [Text(tuple(ids), {}, Arm("base"), 1) for ids in coded if len(ids) > 1]


def read_texts(path: Path, model: Model, most: int) -> list[str]:
    """The first texts of a file: JSON lines with "text" or "messages" (plain or gzip), or a plain text, line by line.

    Raises:
        MisdirectionError: A line is neither, or nothing is there.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in raw.decode("utf-8", "replace").splitlines() if line.strip()][:most]
    if not lines:
        raise MisdirectionError(f"--neutral: {path} holds no text")
    rows = ".jsonl" in path.suffixes
    return [_text(line, number, path, model) if rows else line for number, line in enumerate(lines, 1)]


def _text(line: str, number: int, path: Path, model: Model) -> str:
    try:
        row: Any = json.loads(line)
        if "messages" in row:
            turns = cast(list[dict[str, str]], row["messages"])
            return render(model.tokenizer, [Message(turn["role"], turn["content"]) for turn in turns])
        return str(row["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise MisdirectionError(
            f"--neutral: {path}, line {number} holds no text ({error!r})", "'text' or 'messages'"
        ) from error
