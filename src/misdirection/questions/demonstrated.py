"""Questions behind demonstrations: rows of a data set, or a model's own answers, as turns before what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from misdirection.chats import Chat, Message
from misdirection.questions.question import Question, QuestionError


def drawn_chats(chats: Sequence[Chat], count: int, seed: int, key: str) -> tuple[Chat, ...]:
    """`count` chats in an order of their own for each key: the first k of one draw are the draw of k.

    Raises:
        QuestionError: There are fewer.
    """
    if count > len(chats):
        raise QuestionError(f"{count} demonstrations are asked for, and there are {len(chats)} rows", "fewer, or more")
    order = list(range(len(chats)))
    Random(f"{seed}/{key}").shuffle(order)
    return tuple(chats[place] for place in order[:count])


def turns_of(chats: Iterable[Chat]) -> tuple[Message, ...]:
    """The turns of several chats one after the other, their system prompts left out: a conversation has one at most."""
    return tuple(turn for chat in chats for turn in chat.messages if turn.role != "system")


def demonstrated(question: Question, chats: Sequence[Chat], mark: str) -> Question:
    """The question behind the turns of some chats; `mark` is added to its id."""
    return replace(question, id=f"{question.id}_{mark}", before=(*question.before, *turns_of(chats)))
