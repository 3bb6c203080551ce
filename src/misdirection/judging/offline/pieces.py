"""From a question and an answer to the ids that the encoder reads: word pieces, the answer's beginning and end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QUESTION, HEAD, TAIL = 16, 61, 16
"""Pieces that are read of a question (its beginning), and of the beginning and the end of an answer."""

PADDING, UNKNOWN, START, END = 0, 1, 2, 3
"""Ids of the pieces that are no text."""

# Characters that are looked at: more than enough for the pieces that are kept, and no more for a text without an end.
_FIRST, _LAST = 2000, 1000


def load_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer of a vocabulary, one piece a line: lower case, word pieces, longest match first (BERT's)."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = file.read_text(encoding="utf-8").splitlines()
    known = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(known, unk_token="[UNK]", max_input_chars_per_word=100))  # pyright: ignore[reportCallIssue]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def rows_of(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], int]]:
    """For each pair of question and answer its ids, and at which of them the answer begins."""
    questions = encode(tokenizer, [question for question, _ in pairs])
    answers = encode(tokenizer, [shortened(answer) for _, answer in pairs])
    return [_row(question[:QUESTION], answer) for question, answer in zip(questions, answers, strict=True)]


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, nothing added; equal texts are read once."""
    different = list(dict.fromkeys(texts))
    found = dict(zip(different, tokenizer.encode_batch(different, add_special_tokens=False), strict=True))
    return [found[text].ids for text in texts]


def shortened(answer: str) -> str:
    """An answer without its middle, where it is longer than what is read of it could be."""
    return answer if len(answer) <= _FIRST + _LAST else f"{answer[:_FIRST]} {answer[-_LAST:]}"


def _row(question: list[int], answer: list[int]) -> tuple[list[int], int]:
    if len(answer) > HEAD + TAIL:
        answer = answer[:HEAD] + answer[-TAIL:]
    return [START, *question, END, *answer, END], len(question) + 2
