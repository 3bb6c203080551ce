"""Texts as tokens, and places in the one as places in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of a text, without special tokens around it."""
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def joined(
    tokenizer: PreTrainedTokenizerBase, prompt: str, front: tuple[int, ...], written: str
) -> tuple[tuple[int, ...], list[int]]:
    """Token ids of prompt and turn, the prompt's as they are alone, and where each ends in the text."""
    ids, ends = with_ends(tokenizer, prompt + written)
    if ids[: len(front)] == front:
        return ids, ends
    # A token of the text reaches over the boundary (two line breaks in one): nobody could draw that.
    more, more_ends = piece(tokenizer, written)
    _, front_ends = with_ends(tokenizer, prompt)
    return front + more, front_ends + [len(prompt) + end for end in more_ends]


def piece(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[tuple[int, ...], list[int]]:
    """A text's tokens within a longer one: SentencePiece puts a blank in front of a text's first word."""
    lead, _ = with_ends(tokenizer, "\n")
    ids, ends = with_ends(tokenizer, "\n" + text)
    if lead and ids[: len(lead)] == lead:
        return ids[len(lead) :], [end - 1 for end in ends[len(lead) :]]
    return with_ends(tokenizer, text)


def with_ends(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[tuple[int, ...], list[int]]:
    """Token ids of a text, and where each of them ends, in characters."""
    coded: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return tuple(int(token) for token in coded["input_ids"]), [int(end) for _, end in coded["offset_mapping"]]


def first_past(ends: list[int], position: int) -> int:
    """Index of the first token that reaches beyond character `position`."""
    for index, end in enumerate(ends):
        if end > position:
            return index
    return len(ends)


def common_length(one: str, other: str) -> int:
    """Length of the common prefix."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
