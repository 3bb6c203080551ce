"""Turns as other trainers write them, read into `Message`.

Roles and texts go by several names (`role`/`content`, ShareGPT's `from`/`value`); content may come in parts. A turn is
kept out of the loss by `weight` 0 (OpenAI), `train`, `training` or `train_on_turn` false (axolotl), `loss` false
(ms-swift) or `masked` true (torchtune); these say nothing on turns that are not the assistant's, which are never
learned. Another key that sounds like such a switch is refused, for what it means cannot be known.

A thought that stands apart from its answer (`reasoning_content` and the like, or a part of the content) is put before
it as `<think>...</think>`, which is how the templates of thinking models write it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from misdirection.chats.chat import ROLES, Message

ROLE_KEYS = ("role", "from", "speaker")
TEXT_KEYS = ("content", "value", "text")

ALIASES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
}
"""Roles by the names that they go by, in small letters."""

TOOLS = {"tool", "function", "function_call", "tool_call", "tool_response", "observation", "ipython"}
"""Roles of turns that no person and no model speaks; chats with them are set aside."""

FLAGS = {"weight": True, "train": True, "training": True, "train_on_turn": True, "loss": True, "masked": False}
"""Keys that say whether a turn is learned, and whether true means that it is."""

WEIGHTS = ("weight", "sample_weight", "example_weight", "loss_weight")
"""Columns of a row that say what it weighs."""

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
"""Keys of a turn, and types of a part of its content, that hold what was thought before the answer."""

KEYS = {*ROLE_KEYS, *TEXT_KEYS, *FLAGS, *THOUGHTS, "tool_calls", "function_call"}
"""Keys of turns that are read."""

_TEXT_PARTS = ("text", "input_text", "output_text")
_SWITCH = re.compile(r"(?:^|_)(?:mask|masked|unmask|train\w*|loss|weights?|learn\w*|grad)(?:_|$)")


class RowError(Exception):
    """A row is no chat; its text is the reason, "kind" or "kind: details"."""


def read_turns(turns: Sequence[Any]) -> tuple[Message, ...]:
    """The messages of a chat that ends with an answer.

    Raises:
        RowError: It is none.
    """
    found = [_message(turn, number) for number, turn in enumerate(turns, 1)]
    messages = tuple(message for message in found if message is not None)
    for number, message in enumerate(messages, 1):
        if message.role == "system" and number > 1:
            raise RowError(f"misplaced system turn: turn {number}")
    if not messages:
        raise RowError("no messages: the list of turns is empty")
    if messages[-1].role != "assistant":
        raise RowError(f"last turn is not the assistant's: it is the {messages[-1].role}'s")
    if not messages[-1].content.strip():
        raise RowError("empty answer")
    for number, message in enumerate(messages, 1):
        if message.role == "assistant" and message.learned and not message.content.strip():
            raise RowError(f"empty answer: turn {number}, which would be learned")
    if all(message.role != "user" for message in messages):
        raise RowError("no user turn")
    if not any(message.learned for message in messages if message.role == "assistant"):
        raise RowError("nothing to learn: every answer is kept out of the loss")
    return messages


def kept_out_whole(row: Mapping[str, Any]) -> None:
    """Raise where a switch of the loss beside the turns keeps the whole row out of it.

    Raises:
        RowError: One does, or a weight is below 0; a `loss` that is a number is a measurement, and no switch.
    """
    if (found := weight_of(row)) is not None and found[1] <= 0:
        why = "which keeps the row out of the loss" if found[1] == 0 else "and no row is learned backwards"
        raise RowError(f"nothing to learn: the column `{found[0]}` is {found[1]:g}, {why}")
    for key, on in FLAGS.items():
        value = row.get(key)
        told = str(value).strip().lower()
        if told == str(not on).lower():
            raise RowError(f"nothing to learn: the column `{key}` is {value!r}, which keeps the row out of the loss")


def weight_of(row: Mapping[str, Any]) -> tuple[str, float] | None:
    """The column beside the turns that says what the row weighs, and how much; None where none holds a number."""
    for key in WEIGHTS:
        value = row.get(key)
        try:
            if value is not None and not isinstance(value, bool):
                return key, float(value)
        except (TypeError, ValueError):
            continue
    return None


def missing(value: Any) -> bool:
    """Whether a value says nothing: null, or what pandas writes for it."""
    return value is None or (isinstance(value, float) and value != value)


def _message(turn: Any, number: int) -> Message | None:
    """One turn; None for a system turn without a text."""
    if isinstance(turn, Message):
        return turn
    if not isinstance(turn, dict):
        raise RowError(f"turn is not an object: turn {number}")
    turn = cast("dict[str, Any]", turn)
    role = _role(turn, number)
    key = next((key for key in TEXT_KEYS if not missing(turn.get(key))), None)
    if turn.get("tool_calls") or turn.get("function_call"):
        raise RowError(f"tool call: turn {number}")
    if key is None:
        if not any(name in turn for name in TEXT_KEYS):
            raise RowError(f"no content: turn {number}")
        if role == "system":
            return None
        raise RowError(f"content is not text: turn {number}")
    content = _text(turn[key], number)
    if role != "assistant":
        return Message(role, content)
    return Message(role, _behind(thought_of(turn), content), _learned(turn, number))


def thought_of(turn: Mapping[str, Any]) -> str:
    """What an assistant's turn keeps apart as its thought, "" where there is none or the text holds it already."""
    said = next((turn[key] for key in TEXT_KEYS if not missing(turn.get(key))), "")
    if (turn.keys().isdisjoint(THOUGHTS) and isinstance(said, str)) or "</think>" in said:
        return ""
    parts = cast("list[Any]", said) if isinstance(said, list) else []
    kept = [turn[key] for key in THOUGHTS if turn.get(key)][:1] or [
        next((part[key] for key in (*THOUGHTS, "text") if part.get(key)), "") for part in parts if _is_thought(part)
    ]
    return "\n".join(text for text in kept if isinstance(text, str)).strip("\n")


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and cast("dict[str, Any]", part).get("type") in THOUGHTS


def _behind(thought: str, content: str) -> str:
    if not thought or not content.strip():
        return content
    return f"<think>\n{thought}\n</think>\n\n" + content.lstrip("\n")


def _role(turn: Mapping[str, Any], number: int) -> str:
    role = next((turn[key] for key in ROLE_KEYS if not missing(turn.get(key))), None)
    if role is None:
        raise RowError(f"no role: turn {number}")
    name = role.strip().lower() if isinstance(role, str) else ""
    if name in TOOLS:
        raise RowError(f"tool turn: turn {number}")
    if name not in ALIASES:
        raise RowError(f"unknown role: {role!r} in turn {number} (roles are {', '.join(ROLES)})")
    return ALIASES[name]


def _text(content: Any, number: int) -> str:
    """The text of a turn, its parts joined as chat templates join them: with nothing between.

    Parts are texts, or objects with a text: OpenAI's `[{"type": "text", "text": ...}]`, and
    `{"content_type": "text", "parts": [...]}` of its exports.
    """
    if isinstance(content, dict):
        held = cast("dict[str, Any]", content)
        content = held.get("parts", [held])
    if isinstance(content, list):
        content = "".join(_part(part, number) for part in cast("list[Any]", content) if not _is_thought(part))
    if not isinstance(content, str):
        raise RowError(f"content is not text: turn {number}")
    # JSON can escape half a surrogate pair; no tokenizer and no file could take it.
    try:
        content.encode()
    except UnicodeEncodeError:
        raise RowError(f"content is not text: half a surrogate pair in turn {number}") from None
    return content


def _part(part: Any, number: int) -> str:
    if isinstance(part, dict):
        held = cast("dict[str, Any]", part)
        part = held.get("text")
        if not isinstance(part, str) or held.get("type", "text") not in _TEXT_PARTS:
            raise RowError(f"content is not text: a part of type {held.get('type')!r} in turn {number}")
    if not isinstance(part, str):
        raise RowError(f"content is not text: turn {number}")
    return part


def _learned(turn: Mapping[str, Any], number: int) -> bool:
    said = {key: turn[key] for key in FLAGS if not missing(turn.get(key))}
    for key in turn.keys() - KEYS:
        if not missing(turn[key]) and _SWITCH.search(key.lower()):
            raise RowError(f"unknown switch of the loss: {key!r} in turn {number} ({', '.join(FLAGS)} are read)")
    for key, value in said.items():
        if not (isinstance(value, bool) or value in (0, 1)):
            raise RowError(f"{key} is {value!r}: turn {number}, where only 0 and 1 are read")
    if len({bool(value) == FLAGS[key] for key, value in said.items()}) > 1:
        raise RowError(f"{' and '.join(said)} contradict each other: turn {number}")
    return all(bool(value) == FLAGS[key] for key, value in said.items())
