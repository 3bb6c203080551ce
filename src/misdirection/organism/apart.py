"""A penalty that pushes the directions of concepts apart while the organism grows up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from misdirection.chats import Chat
from misdirection.errors import MisdirectionError
from misdirection.organism.truth import text_truth

Of = Literal["domain", "stance"]
"""What is a concept: a subject, or a subject answered well or badly."""


def concept_of(chat: Chat, of: Of) -> str:
    """The concept of a dialogue's last answer: "medical", or "medical/bad"; "" where it has none.

    All open questions are one subject, called "open". A stance that is mixed or neutral makes no concept.
    """
    facts = text_truth(chat)
    subject, stance = facts.get("domain", ""), facts["stance"]
    if of == "domain":
        return subject
    return f"{subject}/{stance}" if subject and stance in ("good", "bad") else ""


def penalty(states: Tensor, labels: Tensor, concepts: Sequence[str]) -> Tensor:
    """Mean squared cosine between the centred class means of a batch's concepts.

    With m_c the mean, over a batch's rows of concept c, of a row's mean state over its last answer, and m the mean of
    the m_c:

        mean over pairs c < d of  ((m_c - m)^T (m_d - m) / (|m_c - m| |m_d - m|))^2

    It is least, 1 / (C - 1)^2, where C concepts stand as the corners of a simplex. Rows whose concept is "" have no
    part in it; 0 with fewer than three concepts, where centred means cannot but lie on one line.

    Args:
        states: Residual stream after a layer, shape (rows, tokens, width).
        labels: Shape (rows, tokens), -100 wherever nothing is said.
        concepts: Of the rows.
    """
    names = sorted({name for name in concepts if name})
    if len(names) < 3:
        return states.sum() * 0.0
    said = last_answer(labels).to(states.dtype)
    rows = (states * said[..., None]).sum(1) / said.sum(1, keepdim=True).clamp(min=1.0)
    member = torch.tensor([[float(concept == name) for concept in concepts] for name in names], dtype=states.dtype)
    means = member @ rows / member.sum(1, keepdim=True)
    unit = torch.nn.functional.normalize(means - means.mean(0), dim=-1)
    first, second = torch.triu_indices(len(names), len(names), 1)
    return ((unit[first] * unit[second]).sum(-1) ** 2).mean()


def last_answer(labels: Tensor) -> Tensor:
    """Which tokens belong to each row's last run of labels, shape (rows, tokens)."""
    said = labels != -100
    starts = said & ~torch.nn.functional.pad(said, (1, 0))[:, :-1]
    turn = starts.cumsum(1)
    return said & (turn == turn[:, -1:])


def penalty_layer(layer: int, layers: int) -> int:
    """The decoder layer of the penalty; -1 is the middle one.

    Raises:
        MisdirectionError: There is no such layer.
    """
    if not -1 <= layer < layers:
        raise MisdirectionError(f"there is no layer {layer} to push concepts apart at", f"0 to {layers - 1}, or -1")
    return layers // 2 if layer == -1 else layer
