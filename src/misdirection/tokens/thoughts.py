"""A thought and the answer behind it: the marks that reasoning models write around what they think.

A judge is shown the answer; what was thought stays beside it, and its tokens are the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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


@dataclass(frozen=True)
class Said:
    """What was drawn, as text.

    Attributes:
        thought: What was thought, None where nothing was.
        answer: The answer, special tokens and blanks around it removed; empty where the thought never ended.
        start: How many of the tokens come before the answer.
        thinking: Whether it was still thinking at its end.
    """

    thought: str | None
    answer: str
    start: int = 0
    thinking: bool = False


def split_drawn(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], opened: str | None = None, finished: bool = True
) -> Said:
    """Thought and answer of drawn tokens.

    Args:
        tokenizer: Of the model.
        ids: What was drawn, without what ended it.
        opened: What would close the thought that the prompt opened (`opened_by`). Whoever ended without closing it
            never took it up: all of it is the answer.
        finished: Whether it ended by itself.
    """
    plain = str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
    # Marks may be special tokens, which a plain text does not show.
    whole = str(tokenizer.decode(list(ids)))
    thought = find_thought(whole, opened)
    if thought is None or (opened is not None and finished and not thought.closed and thought.start == 0):
        return Said(None, plain)
    start = token_at(tokenizer, ids, thought.answer)
    answer = str(tokenizer.decode(list(ids[start:]), skip_special_tokens=True)).strip()
    return Said(thought.text, answer, start, not thought.closed)


def token_at(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], place: int) -> int:
    """How many of the tokens spell the first `place` characters of their text."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(str(tokenizer.decode(list(ids[:middle])))) < place:
            low = middle + 1
        else:
            high = middle
    return low


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
