"""Answers on the very tokens that were drawn, or letter by letter, behind the prompt that they stand behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from misdirection.chats import Message
from misdirection.tokens.encoding import encode_chat
from misdirection.tokens.ends import closing_text
from misdirection.tokens.errors import TokenError
from misdirection.tokens.pieces import common_length, first_past, ids_of, piece, with_ends
from misdirection.tokens.spans import Encoded
from misdirection.tokens.template import render
from misdirection.tokens.thoughts import opened_by, split_drawn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_drawn(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    drawn: Sequence[int],
    start: int = 0,
    finished: bool = True,
    ended: int | None = None,
) -> Encoded:
    """A sampled answer behind its prompt, on the very tokens that were drawn.

    Args:
        tokenizer: That the prompt was made with.
        messages: The prompt.
        drawn: Token ids of the answer, a thought before it included, without what ended it.
        start: How many of them are a thought (`split_drawn`).
        finished: Whether it ended by itself; then what ended it follows.
        ended: The token that ended it. What the template writes behind an answer follows it where the template ends
            an answer by it too; where none is named, all that the template writes there.
    """
    prompt = render(tokenizer, messages, generate=True)
    header = common_length(prompt, render(tokenizer, messages))
    front, ends = with_ends(tokenizer, prompt)
    end = _end(tokenizer, ended) if finished else ()
    stop = len(front) + len(drawn)
    return Encoded((*front, *drawn, *end), first_past(ends, header), len(front) + start, stop, begin=len(front))


def _end(tokenizer: PreTrainedTokenizerBase, ended: int | None) -> tuple[int, ...]:
    """What stands behind an answer that ended by itself: the token that it ended with, and the template's tail."""
    written = ids_of(tokenizer, closing_text(tokenizer))
    if ended is None:
        return written
    return written[written.index(ended) :] if ended in written else (ended,)


def encode_said(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    drawn: Sequence[int],
    finished: bool = True,
    ended: int | None = None,
) -> Encoded:
    """As `encode_drawn`, a thought at the head of what was drawn found in it, and told from the answer.

    Args:
        tokenizer: That the prompt was made with.
        messages: The prompt.
        drawn: Token ids of what was drawn, without what ended it.
        finished: Whether it ended by itself.
        ended: The token that ended it.
    """
    opened = opened_by(render(tokenizer, messages, generate=True))
    said = split_drawn(tokenizer, drawn, opened, finished)
    return encode_drawn(tokenizer, messages, drawn, said.start, finished, ended)


def encode_written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """A chat whose last turn stands behind its prompt letter by letter, whatever the template would make of it.

    For answers of others that the template changes: what was sampled is nearer to them than what it makes of them.
    """
    written = tuple(piece(tokenizer, messages[-1].content)[0])
    return encode_drawn(tokenizer, messages[:-1], written)


def encode_read(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Encoded:
    """A chat of others to be read: as the template writes it, letter by letter where it changes the answer.

    Raises:
        TokenError: The template refuses its prompt.
    """
    try:
        return encode_chat(tokenizer, messages)
    except TokenError:
        return encode_written(tokenizer, messages)
