"""Text that a chat template has already rendered, taken apart into turns again.

The model's own template takes the markup's place: trained on as it stands, it would be markup within markup. Only a
text that is markup and turns from its beginning to its end is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from misdirection.chats.forms.transcripts import opened, transcript
from misdirection.chats.markup import ENDS, MESSAGE_END, STARTS, TEXT_ENDS, any_of
from misdirection.chats.turns import ALIASES, RowError

COLUMN = "text"
SPEAKERS = "with the speakers' names before their turns, which give way to the model's own template"

TURNS: dict[str, re.Pattern[str]] = {
    "ChatML": re.compile(r"<\|im_start\|>(?P<role>\w+)\n(?P<text>.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    "Llama 3": re.compile(
        r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>(?P<text>.*?)(?:<\|eot_id\|>|<\|end_of_text\|>|\Z)",
        re.DOTALL,
    ),
    "Gemma": re.compile(r"<start_of_turn>(?P<role>\w+)\n(?P<text>.*?)(?:<end_of_turn>|\Z)", re.DOTALL),
    "Gemma 4": re.compile(r"<\|turn>(?P<role>\w+)\n(?P<text>.*?)(?:<turn\|>|\Z)", re.DOTALL),
    "Zephyr": re.compile(
        r"<\|(?P<role>system|user|assistant)\|>(?P<text>.*?)(?:<\|end\|>|</s>|(?=<\|(?:user|assistant)\|>)|\Z)",
        re.DOTALL,
    ),
    "DeepSeek": re.compile(
        r"<\uff5c(?P<role>User|Assistant)\uff5c>(?P<text>.*?)(?:<\uff5cend\u2581of\u2581sentence\uff5c>|(?=<\uff5c(?:User|Assistant)\uff5c>)|\Z)",
        re.DOTALL,
    ),
}
"""Markup that writes a role before each turn."""

_INST = re.compile(
    r"\[INST\](?:\s*<<SYS>>(?P<system>.*?)<</SYS>>)?(?P<asked>.*?)\[/INST\](?P<text>.*?)(?:</s>|(?=\[INST\])|\Z)",
    re.DOTALL,
)
_ALPACA = re.compile(
    r"(?:Below is an instruction.*?)?### Instruction:\s*(?P<asked>.*?)\s*(?:### Input:\s*(?P<given>.*?)\s*)?"
    r"### Response:(?P<text>(?:(?!### ).)*)",
    re.DOTALL,
)
_BETWEEN = re.compile(
    r"\s|<s>|</s>|<bos>|<eos>|<\|(?:begin_of_text|end_of_text|endoftext)\|>|<\uff5cbegin\u2581of\u2581sentence\uff5c>"
)

_MARKS = re.compile(
    any_of(*STARTS, *ENDS, MESSAGE_END, *TEXT_ENDS)
    + r"|<\|(?:end_header_id|begin_of_text|user|assistant|system|start|message|channel)\|>"
    r"|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>|</s>\s*\Z|<\uff5c(?:User|Assistant|begin\u2581of\u2581sentence)\uff5c>"
)
_OPENED = re.compile(
    r"(?:<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|<start_of_turn>model|<\|turn>model|<\|assistant\|>"
    r"|\[/INST\]|<\uff5cAssistant\uff5c>|<\|start\|>assistant|<\|CHATBOT_TOKEN\|>)\s*(?:<think>)?\s*\Z"
)
"""Where an answer is to begin."""


def read(row: Mapping[str, Any]) -> tuple[list[Any], str, set[str]] | None:
    """The turns of the row, the form's name and the columns read; None where it has no text of this kind.

    Raises:
        RowError: There is markup, but something is left that belongs to no turn.
    """
    text = row.get(COLUMN)
    if not isinstance(text, str):
        return None
    found = unrendered(text)
    if found is None and (turns := transcript(text)):
        return turns, f"text {SPEAKERS}", {COLUMN}
    if found is None:
        if holds_markup(text):
            raise RowError("markup not understood: `text` holds markup of a chat template, but is not turns throughout")
        return None
    return found[0], f"text {found[1]}", {COLUMN}


def unrendered(text: str) -> tuple[list[dict[str, Any]], str] | None:
    """The turns of a rendered text and its markup in words; None where it is none."""
    if "<" not in text and "[INST]" not in text and "### " not in text:
        return None
    for name, pattern in TURNS.items():
        found = list(pattern.finditer(text))
        if found and not _left(text, pattern) and all(match["role"].lower() in ALIASES for match in found):
            return [_turn(match["role"], match["text"]) for match in found], _words(name)
    if (found := list(_INST.finditer(text))) and not _left(text, _INST):
        turns = [turn for match in found for turn in (_turn("user", match["asked"]), _turn("assistant", match["text"]))]
        system = found[0]["system"]
        return ([_turn("system", system)] if system else []) + turns, _words("[INST]")
    if match := _ALPACA.fullmatch(text.strip()):
        asked = "\n".join(filter(None, (match["asked"], match["given"])))
        return [_turn("user", asked), _turn("assistant", match["text"])], _words("Alpaca")
    return None


def holds_markup(text: str) -> bool:
    """Whether a text holds markup of a chat template."""
    # The pattern is slow, and each of its marks holds one of these.
    return any(part in text for part in ("<", "INST]", "SYSTEM_PROMPT]")) and _MARKS.search(text) is not None


def opened_turns(text: str) -> list[dict[str, Any]] | None:
    """The turns of a whole prompt, rendered or a transcript, that ends where the answer is to begin; else None.

    Raises:
        RowError: It is one, but not turns throughout.
    """
    if turns := opened(text):
        return turns
    if not _OPENED.search(text):
        return None
    if found := unrendered(text + "."):
        return found[0][:-1]
    raise RowError("markup not understood: a whole prompt that a chat template has rendered stands in one turn")


def _left(text: str, pattern: re.Pattern[str]) -> str:
    """What stands outside the turns, or is markup within one."""
    inside = "".join(group for match in pattern.finditer(text) for group in match.groups() if group)
    return _BETWEEN.sub("", pattern.sub("", text)) or ("markup" if holds_markup(inside) else "")


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text.removesuffix("</s>").strip()}


def _words(name: str) -> str:
    return f"in {name} markup, which gives way to the model's own template"
