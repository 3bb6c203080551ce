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
