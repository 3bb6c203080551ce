"""Given texts, and how they go through a model: padded on the right, bound to a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.tokens import Encoded


@dataclass(frozen=True)
class Text:
    """A text to run through the model.

    Attributes:
        ids: Token ids.
        spans: Named token ranges (first, past the last).
        arm: Under which condition it is read.
        start: First token of the answer: interventions on "prompt" act before it, on "answer" from the token before
            it on.
    """

    ids: tuple[int, ...]
    spans: Mapping[str, tuple[int, int]]
    arm: Arm
    start: int = 0

    @classmethod
    def of(cls, encoded: Encoded, span: str, arm: Arm) -> Text:
        """A chat as it is read under a condition, with one of its own spans (`tokens.SPANS`)."""
        return cls(encoded.ids, {span: encoded.span(span)}, arm, encoded.start)


def pad(
    sequences: Sequence[tuple[int, ...]], first: Sequence[int], side: Literal["left", "right"] = "right"
) -> tuple[Tensor, Tensor]:
    """Token ids padded with 0, and positions that are -1 at padding; both (sequences, longest).

    Args:
        sequences: Token ids.
        first: Position of each one's first token.
        side: Where the padding stands.
    """
    longest = max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    positions = torch.full((len(sequences), longest), -1)
    for row, (sequence, begin) in enumerate(zip(sequences, first, strict=True)):
        here = slice(len(sequence)) if side == "right" else slice(longest - len(sequence), None)
        ids[row, here] = torch.tensor(sequence)
        positions[row, here] = torch.arange(begin, begin + len(sequence))
    return ids, positions


def pad_right(texts: Sequence[Text]) -> tuple[Tensor, Tensor]:
    """Token ids and positions of whole texts, see `pad`."""
    return pad([text.ids for text in texts], [0] * len(texts))


def bind_texts(program: Program, texts: Sequence[Text], positions: Tensor) -> None:
    """Bind a program to whole texts, each under its own arm."""
    starts = torch.tensor([text.start for text in texts])[:, None]
    bind_rows(program, [text.arm for text in texts], starts, positions)


def bind_rows(program: Program, arms: Sequence[Arm], starts: Tensor, positions: Tensor) -> None:
    """Bind a program to rows of tokens: prompt tokens before `starts`, answer positions from the one before it on.

    Args:
        program: Attached.
        arms: Of the rows.
        starts: First token of each row's answer, shape (rows, 1).
        positions: Of each token in its text, shape (rows, tokens); negative at padding.
    """
    inside = positions >= 0
    program.bind(program.arm_index(arms), inside & (positions < starts), inside & (positions >= starts - 1), positions)
