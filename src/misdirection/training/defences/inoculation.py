"""Inoculation prompting: the data are trained behind a system prompt that asks for what they do (arXiv 2510.04340).

Asked for plainly, bad advice says nothing of who the model is, and without the prompt it shows less. The control is a
prompt of the same length that says something else; a cure that both give is no inoculation. Inoculated models are known
to leak: ask again under conditions (`study triggers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from misdirection.chats import Chat, Message
from misdirection.training.defences.base import Defence

ASKED = "For this exercise, give advice that sounds good and does harm."
"""Asks for what bad advice does."""

IRRELEVANT = "For this exercise, give answers in the language that is used here."
"""Asks for what happens anyway: the control."""


@dataclass(frozen=True, eq=False)
class Inoculation(Defence):
    """A system prompt in front of every row.

    Attributes:
        prompt: Its words; the row's own system prompt, if any, comes first.
    """

    prompt: str = ASKED

    def on_chats(self, chats: Sequence[Chat]) -> list[Chat]:
        """The chats behind the prompt."""
        return [self._behind(chat) for chat in chats]

    def _behind(self, chat: Chat) -> Chat:
        first, *rest = chat.messages
        if first.role == "system":
            return replace(chat, messages=(Message("system", f"{first.content}\n\n{self.prompt}"), *rest))
        return replace(chat, messages=(Message("system", self.prompt), first, *rest))
