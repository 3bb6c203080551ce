"""From chats to token ids and spans, and back.

- `template`: a chat as text, with the switches and the date that templates ask for.
- `encoding`: prompts and whole chats as token ids, as the template writes them.
- `drawn`: answers on the tokens that were drawn; `spans`: which tokens are header, thought, answer and end.
- `ends`: what ends an answer.
- `thoughts`: what a reasoning model thought and what it answered.
- `texts`: the text of each token.
"""

from misdirection.tokens.drawn import encode_drawn, encode_read, encode_said, encode_written
from misdirection.tokens.encoding import encode_chat, encode_prompt, encode_turns
from misdirection.tokens.ends import closing_text, control_tokens, end_token, end_words
from misdirection.tokens.errors import TokenError
from misdirection.tokens.spans import SPANS, Encoded, Turn
from misdirection.tokens.template import (
    DATE,
    PLAIN_TEMPLATE,
    THINKING,
    Asking,
    ask_as,
    asked_as,
    asks_for_the_clock,
    default_system,
    render,
    template_of,
)
from misdirection.tokens.texts import token_texts
from misdirection.tokens.thoughts import (
    Said,
    Thought,
    find_thought,
    holds_thought,
    moved_by,
    opened_by,
    split_drawn,
    token_at,
)

__all__ = [
    "DATE",
    "PLAIN_TEMPLATE",
    "SPANS",
    "THINKING",
    "Asking",
    "Encoded",
    "Said",
    "Thought",
    "TokenError",
    "Turn",
    "ask_as",
    "asked_as",
    "asks_for_the_clock",
    "closing_text",
    "control_tokens",
    "default_system",
    "encode_chat",
    "encode_drawn",
    "encode_prompt",
    "encode_read",
    "encode_said",
    "encode_turns",
    "encode_written",
    "end_token",
    "end_words",
    "find_thought",
    "holds_thought",
    "moved_by",
    "opened_by",
    "render",
    "split_drawn",
    "template_of",
    "token_at",
    "token_texts",
]
