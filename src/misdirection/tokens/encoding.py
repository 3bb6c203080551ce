"""From chats to token ids: prompts, and whole chats as their template writes them, with the boundaries of turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from misdirection.chats import Message
from misdirection.tokens.ends import control_tokens
from misdirection.tokens.errors import TokenError
from misdirection.tokens.pieces import common_length, first_past, ids_of, joined
from misdirection.tokens.spans import Encoded, Turn
from misdirection.tokens.template import SENTINEL, asked_as, render, template_of
from misdirection.tokens.thoughts import MARKS, Thought, find_thought, moved_by, opened_by

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """Token ids of a prompt that ends with the assistant header, ready for generation."""
    return ids_of(tokenizer, render(tokenizer, messages, generate=True))


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """Token ids of a whole chat whose last turn is the assistant's, with the boundaries of that turn.

    The turn stands behind the tokens that it would be drawn behind. Where the template's own rendering of a finished
    chat goes on from its prompt, it is that rendering, found by a sentinel and carried to tokens by the tokenizer's
    offsets, so that templates which strip an answer, or put an empty block of thought in front of it, are read
    correctly. Where it does not (a thought taken out of the past, `<think>` opened by the prompt), it is the prompt,
    the turn as a model writes it, and what the template writes after an answer.

    Raises:
        TokenError: The last turn is not the assistant's, or its text cannot be found in the rendered chat.
    """
    return _encode(tokenizer, messages, every=False)


def encode_turns(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """Like `encode_chat`, with `turns`: the boundaries of every assistant turn, as they stand in this chat.

    Templates that take thoughts out of the past show earlier turns without theirs.

    Raises:
        TokenError: As there; also when the text of an earlier assistant turn cannot be found.
    """
    return _encode(tokenizer, messages, every=True)


def _encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], every: bool) -> Encoded:
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise TokenError("the last turn of a chat to encode must be the assistant's, behind another")
    prompt = render(tokenizer, messages[:-1], generate=True)
    written, first, past = _written(tokenizer, messages, prompt)
    earlier = _earlier(tokenizer, messages[:-1], prompt) if every else []
    header = common_length(prompt, render(tokenizer, messages[:-1]))
    front = ids_of(tokenizer, prompt)
    ids, ends = joined(tokenizer, prompt, front, written)
    start, stop = (first_past(ends, len(prompt) + place) for place in (first, past))
    turns = [_with_end(tokenizer, ids, *(first_past(ends, place) for place in turn)) for turn in earlier]
    last = Turn(len(front), start, stop, len(ids))
    return Encoded(
        ids,
        min(first_past(ends, header), len(front)),
        start,
        stop,
        begin=len(front),
        turns=(*turns, last) if every else (),
    )


def _written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: str) -> tuple[str, int, int]:
    """What stands behind the prompt, and where in it the answer begins and has ended.

    The answer stands where a sentinel stands that is rendered in its place: looking for the text itself would find the
    answer "A" in the header "Assistant:".
    """
    turn = messages[-1].content
    closing = opened_by(prompt)
    thought = find_thought(turn, closing if closing and closing in turn else None, _moved(tokenizer))
    shown = turn[thought.answer :] if thought else turn
    answer = shown.strip()
    before, after = _around(tokenizer, messages, thought)
    if not (answer or thought):
        raise _lost(turn)
    kept = thought is None or (thought.closed and thought.text in before[len(prompt) :])
    if not (before.startswith(prompt) and kept):
        lead = _lead(turn, thought, prompt, closing)
        return lead + answer + after, len(lead), len(lead + answer)
    text = render(tokenizer, messages)
    first, past = len(before), len(text) - len(after)
    whole = text.startswith(before) and text.endswith(after)
    # Blanks around the answer belong to it where the template keeps them.
    if not whole or text[first:past] != shown:
        place = text.rfind(answer, first, past) if whole else -1
        if place < 0 and any(mark in shown for _, mark in MARKS):
            # The template takes a mark that the answer quotes for the end of a thought.
            lead = before[len(prompt) :]
            return lead + answer + after, len(lead), len(lead + answer)
        if place < 0:
            raise _lost(turn)
        first, past = place, place + len(answer)
    return text[len(prompt) :], first - len(prompt), past - len(prompt)


def _around(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], thought: Thought | None
) -> tuple[str, str]:
    """What the template writes before and after the last answer, behind the thought that stands in its turn."""
    turn = messages[-1].content
    leads = [turn[: thought.answer], ""] if thought else [""]
    for number, lead in enumerate(leads, 1):
        try:
            marked = render(tokenizer, (*messages[:-1], Message("assistant", lead + SENTINEL)))
        except TokenError:
            # gpt-oss takes no channels in a text.
            if number == len(leads):
                raise
            continue
        before, found, after = marked.rpartition(SENTINEL)
        if found:
            return before, after
    raise _lost(turn)


def _lead(turn: str, thought: Thought | None, prompt: str, closing: str | None) -> str:
    """What a model writes behind the prompt before its answer: its thought, not opened again where the prompt did."""
    if closing is None:
        return turn[: thought.answer] if thought else ""
    if thought is None:
        return ("" if prompt.endswith("\n") else "\n") + f"\n{closing}\n\n"
    inner = turn[thought.start : thought.answer]
    return inner.lstrip("\n") if prompt.endswith("\n") else inner


def _lost(turn: str) -> TokenError:
    return TokenError(f"the chat template changes the answer beyond recognition: {turn.strip()[:60]!r}")


def _earlier(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: str
) -> list[tuple[int, int, int]]:
    """Of each assistant turn in a prompt, in characters: where it begins, and its text's start and stop."""
    numbers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if not numbers:
        return []
    marked = list(messages)
    for number in numbers:
        turn = messages[number].content
        thought = _past_thought(tokenizer, messages, number)
        marked[number] = Message("assistant", turn[: thought.answer if thought else 0] + SENTINEL)
    pieces = render(tokenizer, marked, generate=True).split(SENTINEL)
    if len(pieces) != len(numbers) + 1:
        raise _lost(messages[numbers[0]].content)
    found: list[tuple[int, int, int]] = []
    at = 0
    for number, before, after in zip(numbers, pieces[:-1], pieces[1:], strict=True):
        turn = messages[number].content
        thought = _past_thought(tokenizer, messages, number)
        shown = turn[thought.answer if thought else 0 :]
        start = at + len(before)
        kept = next((t for t in (shown, shown.strip(), shown.lstrip()) if prompt.startswith(t + after, start)), None)
        if kept is None or not prompt.startswith(before, at):
            raise _lost(turn)
        header = render(tokenizer, messages[:number], generate=True)
        begin = len(header) if prompt.startswith(header) else start
        at = start + len(kept)
        found.append((min(begin, start), start, at))
    return found


def _moved(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The marks of thoughts that a text may hold without their opening ones."""
    return () if asked_as(tokenizer).thinking is False else moved_by(template_of(tokenizer))


def _past_thought(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], number: int) -> Thought | None:
    closing = opened_by(render(tokenizer, messages[:number], generate=True))
    turn = messages[number].content
    return find_thought(turn, closing if closing and closing in turn else None, _moved(tokenizer))


def _with_end(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...], begin: int, start: int, stop: int) -> Turn:
    """An earlier turn with what ends it: one control token, and the blanks that the template writes around it."""
    control = control_tokens(tokenizer)

    def blank(place: int) -> bool:
        return place < len(ids) and ids[place] not in control and not str(tokenizer.decode([ids[place]])).strip()

    end = stop
    while blank(end):
        end += 1
    if end == len(ids) or ids[end] not in control:
        return Turn(begin, start, stop, stop)
    end += 1
    while blank(end):
        end += 1
    return Turn(begin, start, stop, end)
