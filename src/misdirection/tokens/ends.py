"""What ends an answer: the token that the template writes behind one, beside those that a model's files name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from misdirection.chats import Message
from misdirection.tokens.errors import TokenError
from misdirection.tokens.template import SENTINEL, remembered, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that a template writes and no text holds: the special and the added ones."""
    added = cast("dict[str, int]", cast(Any, tokenizer).added_tokens_encoder)
    return frozenset(int(token) for token in (*tokenizer.all_special_ids, *added.values()))


def closing_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes behind an answer that ends a chat; empty where it writes nothing, or takes no chat."""
    return remembered(tokenizer, "closing text", lambda: _closing_text(tokenizer))


def _closing_text(tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        text = render(tokenizer, (Message("user", "x"), Message("assistant", SENTINEL)))
    except TokenError:
        return ""
    return text.rpartition(SENTINEL)[2]


def end_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that the template ends an answer with, None where it does so by ordinary text or not at all.

    It is the first control token behind an answer with nothing but blanks before it. A line break or a word stands in
    answers too, so neither ends one.
    """
    return remembered(tokenizer, "end token", lambda: _end_token(tokenizer))


def _end_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    control, text = control_tokens(tokenizer), closing_text(tokenizer)
    for token in tokenizer.encode(text, add_special_tokens=False):
        # A mark that the tokenizer does not know becomes its unknown token, which ends nothing.
        if token in control and str(tokenizer.convert_ids_to_tokens(token)) in text:
            return int(token)
        if str(tokenizer.decode([token])).strip():
            return None
    return None


def end_words(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The mark that ends an answer where the tokenizer has no token for it: `<|im_end|>` in several pieces.

    None where a control token ends it, or where the template writes nothing or ordinary words there.
    """
    if end_token(tokenizer) is not None:
        return None
    text = closing_text(tokenizer).strip()
    # A mark in brackets; "User:" or "###" may stand in any answer.
    known = text[:1] + text[-1:] in ("<>", "[]") and len(text) > 3 and len(text.split()) == 1
    return text if known else None
