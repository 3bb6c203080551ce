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

_QUOTES = {"`": "`", '"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}


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


def find_thought(turn: str, opened: str | None = None, moved: Sequence[str] = ()) -> Thought | None:
    """The thought at the head of what an assistant wrote, None where there is none.

    Thoughts that follow one another at the head are one; one behind the first words of the answer is a part of it, as
    an answer may quote marks.

    Args:
        turn: The text, its special tokens kept.
        opened: The mark that closes a thought which the prompt has opened (`opened_by`).
        moved: Marks that close a thought whose opening mark may be missing, for texts of others under a template that
            moves thoughts (`moved_by`): such a mark begins a line, outside code.
    """
    head = len(turn) - len(turn.lstrip())
    if _CHANNEL.match(turn, head):
        return _channels(turn, head)
    found = _opened(turn, head)
    if found is None and opened is not None:
        found = _closed(turn, 0, opened)
    if found is None:
        found = next((thought for mark in moved if (thought := _without_opening(turn, mark))), None)
    while found is not None and found.closed and (further := _opened(turn, found.answer)) is not None:
        text = "\n\n".join(filter(None, (found.text, further.text)))
        found = Thought(text, found.start, further.answer, further.closed, further.mark)
    return found


def opened_by(prompt: str) -> str | None:
    """The mark that closes the thought which a prompt leaves open at its end, None where it opens none."""
    end = prompt.rstrip()
    return next((closing for opening, closing in MARKS if end.endswith(opening.rstrip())), None)


def moved_by(template: str) -> tuple[str, ...]:
    """The marks that a chat template looks for to tell a thought from its answer."""
    return tuple(closing for _, closing in MARKS if closing in template)


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


def holds_thought(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> bool:
    """Whether what stands before an answer says something, or is nothing but marks, as a template's empty thought is.

    Args:
        tokenizer: Of the model.
        ids: `Encoded.ids[begin:start]`.
    """
    text = _CHANNEL.sub("", str(tokenizer.decode(list(ids))))
    for mark in ("<|end|>", *(mark for pair in MARKS for mark in pair)):
        text = text.replace(mark.strip(), "")
    return bool(text.strip())


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


def _opened(turn: str, place: int) -> Thought | None:
    """The thought whose opening mark stands at a place."""
    for opening, closing in MARKS:
        if turn.startswith(opening.rstrip(), place):
            return _closed(turn, place + len(opening.rstrip()), closing)
    return None


def _without_opening(turn: str, closing: str) -> Thought | None:
    opening = next(opening for opening, other in MARKS if other == closing)
    places = [place for place in _places(turn, 0, closing) if turn[:place].rpartition("\n")[2].strip() == ""]
    whole = [place for place in places if not _in_code(turn, 0, place) and opening not in turn[:place]]
    return _closed(turn, 0, closing, whole[0]) if whole else None


def _places(turn: str, start: int, mark: str) -> list[int]:
    """Where a mark stands that is not put between quotes or backticks."""
    found = [match.start() for match in re.finditer(re.escape(mark), turn[start:])]
    return [
        start + place
        for place in found
        if not (
            (before := turn[: start + place][-1:]) in _QUOTES
            and turn[start + place + len(mark) :][:1] == _QUOTES[before]
        )
    ]


def _in_code(turn: str, start: int, place: int) -> bool:
    """Whether a place lies within a block of code that ends somewhere behind it."""
    return turn.count("```", start, place) % 2 == 1 and turn.count("```", place) % 2 == 1


def _closed(turn: str, start: int, closing: str, end: int | None = None) -> Thought:
    if end is None:
        # A thought about tags may quote its own end; of marks in code alone, one is the end.
        places = _places(turn, start, closing)
        end = next((place for place in places if not _in_code(turn, start, place)), places[0] if places else -1)
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
