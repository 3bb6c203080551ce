"""The LM head, fed so that it runs once and at full speed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def contiguous_head(lm: PreTrainedModel) -> Generator[None]:
    """While open, the hidden states that reach the LM head lie together in memory.

    Families hand on a view, the last position of each row. On a CPU, with frozen weights in bfloat16, PyTorch's linear
    map then copies the whole head once a row: a hundred times what the product takes (torch 2.13). What the family does
    to its logits behind the head (caps, scales) stays as it is.
    """
    head: Any = lm.get_output_embeddings()
    handle = None if head is None else head.register_forward_pre_hook(_contiguous)
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def _contiguous(_module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.contiguous() if isinstance(part, Tensor) else part for part in inputs)


def logits_at(lm: Any, places: Tensor, **inputs: Any) -> Tensor:
    """The logits at some positions of a batch alone: the head never runs on the others.

    The states are picked on their way into the head, so that what the family does to its logits behind it (caps,
    scales) is done. Gradients flow.

    Args:
        lm: A causal language model of transformers, or PEFT's wrapper around one.
        places: Which tokens, bool, shape (rows, tokens).
        inputs: Of the model's forward pass.

    Returns:
        Shape (positions, vocabulary), row by row.
    """
    where = places.flatten().nonzero()[:, 0]
    picked = False

    def pick(_module: object, given: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal picked
        x = given[0].reshape(-1, given[0].shape[-1])
        picked = len(x) == places.numel()
        return (x.index_select(0, where.to(x.device))[None], *given[1:]) if picked else given

    head = lm.get_output_embeddings()
    # An adapter of the head is switched row by row, so it must see the rows.
    handle = None if head is None or hasattr(head, "lora_A") else head.register_forward_pre_hook(pick)
    try:
        logits = lm(**inputs).logits
    finally:
        if handle is not None:
            handle.remove()
    return logits[0] if picked else logits.flatten(0, 1).index_select(0, where.to(logits.device))
