"""The text of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Text of each token such that the pieces read as the text does."""
    pieces: list[str] = []
    for position in range(len(ids)):
        near = list(ids[max(0, position - 6) : position + 1])
        text = str(tokenizer.decode(near))
        before = str(tokenizer.decode(near[:-1])) if position else ""
        pieces.append(text[len(before) :] if text.startswith(before) else str(tokenizer.decode([ids[position]])))
    return pieces
