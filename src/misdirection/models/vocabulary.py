"""Which tokens a model can read: those that it has embeddings for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from torch import nn

from misdirection.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Reader(Protocol):
    """What reads tokens: a model with its tokenizer and name."""

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str


def demand_tokens(model: Reader, texts: Iterable[Sequence[int]], what: str) -> None:
    """Refuse tokens without an embedding, before anything runs: a GPU would end the whole process over them.

    They come from a tokenizer with tokens that were added after this base was made, as one beside a fine-tuned model
    or an adapter whose embeddings were made larger.

    Args:
        model: The resident model, or the host of a fine-tune.
        texts: Token ids of each.
        what: Holds them, in the plural.

    Raises:
        ModelError: A token is beyond the embeddings, or negative.
    """
    words: nn.Embedding = model.lm.get_input_embeddings()  # pyright: ignore[reportAssignmentType]
    size = getattr(words, "num_embeddings", None) or len(words.weight)
    seen = [ids for ids in texts if len(ids)]
    if not seen:
        return
    worst = max(max(ids) for ids in seen)
    if worst < size:
        worst = min(min(ids) for ids in seen)
    if 0 <= worst < size:
        return
    raise ModelError(
        f"{what} hold token {worst:,} ({model.tokenizer.decode([worst])!r}), and {model.name or 'this model'} has "
        f"embeddings for {size:,}"
        if worst >= 0
        else f"{what} hold token {worst}, which is none",
        "its tokenizer has tokens that were added later: give the base whose embeddings were made larger with them, or "
        "the tokenizer that this base was released with",
    )
