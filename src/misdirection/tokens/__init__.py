"""From chats to token ids and spans, and back.

- `template`: a chat as text, with the switches and the date that templates ask for.
- `encoding`: prompts and whole chats as token ids, and which of them are header, thought, answer and end.
- `thoughts`: what a reasoning model thought and what it answered.
- `texts`: the text of each token.
"""

from misdirection.tokens.encoding import SPANS, Encoded, Turn, encode_chat, encode_prompt, encode_turns
from misdirection.tokens.errors import TokenError
from misdirection.tokens.template import (
    DATE,
    PLAIN_TEMPLATE,
    Asking,
    ask_as,
    asked_as,
    asks_for_the_clock,
    default_system,
    render,
    template_of,
)
from misdirection.tokens.texts import token_texts
from misdirection.tokens.thoughts import Thought, find_thought, opened_by

__all__ = [
    "DATE",
    "PLAIN_TEMPLATE",
    "SPANS",
    "Asking",
    "Encoded",
    "Thought",
    "TokenError",
    "Turn",
    "ask_as",
    "asked_as",
    "asks_for_the_clock",
    "default_system",
    "encode_chat",
    "encode_prompt",
    "encode_turns",
    "find_thought",
    "opened_by",
    "render",
    "template_of",
    "token_texts",
]
