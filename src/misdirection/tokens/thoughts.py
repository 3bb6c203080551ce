"""A thought and the answer behind it: the marks that reasoning models write around what they think.

A judge is shown the answer; what was thought stays beside it, and its tokens are the model's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
)
"""What opens and closes a thought: Qwen3, DeepSeek-R1, GLM, SmolLM3, Kimi (`<think>`), Seed-OSS, Magistral (`[THINK]`),
Command A, Gemma 4 and the tags of other trainers."""

_CHANNEL = re.compile(r"(?:<\|start\|>assistant)?\s*<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
"""The head of a message in the harmony format of gpt-oss: analysis, commentary or final."""


@dataclass(frozen=True)
class Thought:
    """The part of a written turn that comes before its answer.

    Attributes:
        text: What was thought, without marks and blanks around it.
        start: Where the text behind the opening mark begins, in characters of the turn.
        answer: Where the answer begins, the length of the turn when the thought was never closed.
        closed: Whether it came to its end.
        mark: What would close it.
    """

    text: str
    start: int
    answer: int
    closed: bool
    mark: str


def find_thought(turn: str, opened: str | None = None) -> Thought | None:
    """The thought at the head of what an assistant wrote, None where there is none.

    Args:
        turn: The text, its special tokens kept.
        opened: The mark that closes a thought which the prompt has opened (`opened_by`).
    """
    head = len(turn) - len(turn.lstrip())
    if _CHANNEL.match(turn, head):
        return _channels(turn, head)
    for opening, closing in MARKS:
        if turn.startswith(opening.rstrip(), head):
            return _closed(turn, head + len(opening.rstrip()), closing)
    if opened is not None:
        return _closed(turn, 0, opened)
    for opening, closing in MARKS:
        # Kept without its opening mark, which stood in the prompt.
        if closing in turn and opening not in turn.partition(closing)[0]:
            return _closed(turn, 0, closing)
    return None


def opened_by(prompt: str) -> str | None:
    """The mark that closes the thought which a prompt leaves open at its end, None where it opens none."""
    end = prompt.rstrip()
    return next((closing for opening, closing in MARKS if end.endswith(opening.rstrip())), None)


def _closed(turn: str, start: int, closing: str) -> Thought:
    end = turn.find(closing, start)
    if end < 0:
        return Thought(turn[start:].strip(), start, len(turn), False, closing)
    past = end + len(closing)
    answer = len(turn) - len(turn[past:].lstrip())
    return Thought(turn[start:end].strip(), start, answer, True, closing)


def _channels(turn: str, head: int) -> Thought | None:
    """Harmony: everything before the final channel is thought."""
    heads = list(_CHANNEL.finditer(turn, head))
    final = next((found for found in heads if found[1] == "final"), None)
    past = [found.end() for found in heads]
    ends = [*(found.start() for found in heads[1:]), len(turn)]
    parts = [
        turn[first:last].replace("<|end|>", "").strip()
        for found, first, last in zip(heads, past, ends, strict=True)
        if final is None or found.start() < final.start()
    ]
    answer = len(turn) if final is None else final.end()
    return Thought("\n\n".join(filter(None, parts)), heads[0].end(), answer, final is not None, "<|channel|>final")
