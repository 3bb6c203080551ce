"""The mean state of every labelled chat, at every layer, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.chats import Chat
from misdirection.engine import Arm, Text, capture_means
from misdirection.errors import MisdirectionError
from misdirection.features.corpus import chat_texts
from misdirection.models import Model

AT_ONCE = 64
"""Texts whose states are held as classes of one capture."""


@dataclass(frozen=True)
class Concept:
    """A concept, by chats.

    Attributes:
        name: Its name.
        shown: Chats whose last answer shows it.
        without: Chats on the same that do not show it, for its direction; may be empty.
    """

    name: str
    shown: tuple[Chat, ...]
    without: tuple[Chat, ...] = ()


@dataclass(frozen=True)
class ConceptStates:
    """One state a chat and layer: the mean of the residual stream over the answer's tokens.

    Attributes:
        names: Of the concepts.
        concept: Place in `names` of each chat's concept, shape (chats,).
        shown: Whether the chat shows it, shape (chats,).
        layers: Layer numbers.
        states: Shape (chats, layers, width), float32.
        unread: Chats of which nothing could be read.
    """

    names: tuple[str, ...]
    concept: Tensor
    shown: Tensor
    layers: tuple[int, ...]
    states: Tensor
    unread: int


def concept_states(
    model: Model, concepts: Sequence[Concept], arm: Arm, *, layers: Sequence[int] | None = None, longest: int = 2048
) -> ConceptStates:
    """States of all concepts' chats under one arm.

    Args:
        model: The resident model.
        concepts: At least two.
        arm: Under which they are read: the base, or an adapter.
        layers: All by default.
        longest: Tokens of a chat that are read at most.

    Raises:
        MisdirectionError: A concept has no chat that shows it and can be read.
    """
    layers = tuple(range(model.n_layers)) if layers is None else tuple(sorted(set(layers)))
    chats = [(place, True, chat) for place, one in enumerate(concepts) for chat in one.shown]
    chats += [(place, False, chat) for place, one in enumerate(concepts) for chat in one.without]
    texts = chat_texts([chat for *_, chat in chats], model.tokenizer, arm, longest=longest)
    kept = [row for row, text in enumerate(texts) if text.spans["answer"][0] < text.spans["answer"][1]]
    states = [
        _states(model, [texts[row] for row in kept[i : i + AT_ONCE]], layers) for i in range(0, len(kept), AT_ONCE)
    ]
    concept, shown = (torch.tensor([chats[row][column] for row in kept]) for column in (0, 1))
    for place, one in enumerate(concepts):
        if not bool(((concept == place) & shown.bool()).any()):
            raise MisdirectionError(f"no chat of the concept '{one.name}' could be read", "longer answers, or others")
    names = tuple(one.name for one in concepts)
    return ConceptStates(names, concept, shown.bool(), layers, torch.cat(states), len(texts) - len(kept))


def _states(model: Model, texts: Sequence[Text], layers: Sequence[int]) -> Tensor:
    """One class a text, shape (texts, layers, width)."""
    found = capture_means(model, texts, torch.eye(len(texts)), layers=layers, weighting="response")
    return found.mean("answer").float()
