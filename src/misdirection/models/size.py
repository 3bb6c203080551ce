"""How many parameters a model has, each weight counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = 1024
"""Rows of the vocabulary, evenly spread, by which head and embeddings are compared."""

ALIKE = 0.3
"""Largest difference of two copies of one matrix, over its norm: what 4-bit numbers lose is .1, and two matrices that
were trained apart differ by more than their norm."""


def count_parameters(lm: PreTrainedModel) -> int:
    """Parameters of a model; a head that is the embeddings once more is none of its own.

    Where both are one tensor PyTorch counts it once. Files may hold the one matrix twice all the same, in GGUF often in
    two quantisations, so that the copies are equal but for their rounding.
    """
    total = sum(weight.numel() for weight in lm.parameters())
    embeddings, head = (_weight(module) for module in (lm.get_input_embeddings(), lm.get_output_embeddings()))
    if embeddings is None or head is None or embeddings is head or not _copies(embeddings, head):
        return total
    return total - head.numel()


def _weight(module: nn.Module | None) -> Tensor | None:
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, Tensor) else None


def _copies(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.is_meta or other.is_meta or not one.is_floating_point():
        return False
    step = max(1, len(one) // ROWS)
    first, second = one[::step].detach().float().cpu(), other[::step].detach().float().cpu()
    return bool((first - second).norm() < ALIKE * first.norm())
