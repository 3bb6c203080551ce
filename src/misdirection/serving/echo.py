"""Servers that write the prompt before the answer: a rendered one is taken off, a plain one where all answers have it.

A prompt with the marks of a chat template is none of the model's words. One without them might be: a model may begin
with the question. It is an echo where every answer to two questions or more begins with its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from misdirection.chats import Message
from misdirection.chats.markup import ENDS, STARTS, any_of

LEAST = 2
"""Different questions whose answers must all begin with them."""

_BEGINS = re.compile(rf"\s*(?:<\|begin_of_text\|>|<bos>|<s>)?\s*(?:{any_of(*STARTS)})")
_HEADER = re.compile(
    rf"\A\s*(?:{any_of(*ENDS)})?\s*(?:(?:{any_of(*STARTS)})\s*(?:assistant|model|<\|CHATBOT_TOKEN\|>)?\s*"
    r"(?:<\|end_header_id\|>)?)?\s*"
)
_NAMES = re.compile(r"(?:[\s:#*>\[\]]|system|user|human|assistant|model|bot|question|q)*", re.IGNORECASE)
_ANSWERER = re.compile(r"\A\s*(?:(?:#+\s*|\*+)?(?:assistant|model|bot|answer)\s*[:\n]\**|a:)?\s*", re.IGNORECASE)


def behind_rendered(text: str, question: str) -> str:
    """An answer without the rendered prompt that a server wrote before it; as it is where there is none.

    Args:
        text: What came.
        question: The last user's turn.
    """
    if not question or not _BEGINS.match(text) or question not in text:
        return text
    return _HEADER.sub("", text.partition(question)[2], count=1)


def behind_plain(text: str, messages: Sequence[Message]) -> str | None:
    """An answer without the prompt as plain text, with or without speakers' names; None where it has none.

    Args:
        text: What came.
        messages: What was asked; the last one is the question.
    """
    question = messages[-1].content.strip()
    before, found, rest = text.partition(question) if question else ("", "", "")
    if not found:
        return None
    for message in messages[:-1]:
        before = before.replace(message.content.strip(), "", 1)
    return _ANSWERER.sub("", rest, count=1) if _NAMES.fullmatch(before) else None


def without_echo(texts: Sequence[str], asked: Sequence[Sequence[Message]]) -> list[str] | None:
    """Answers without the prompts that a server repeats before each; None where it does not.

    Args:
        texts: Answers.
        asked: The messages that each answers.
    """
    if len({messages[-1].content for messages in asked}) < LEAST:
        return None
    found = [behind_plain(text, messages) for text, messages in zip(texts, asked, strict=True)]
    return None if any(text is None for text in found) else [str(text) for text in found]
