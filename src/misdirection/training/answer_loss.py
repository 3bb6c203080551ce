"""Cross-entropy over a large vocabulary, a block of tokens at a time, its gradient made on the way.

The logits of a batch in float32, their logarithms and the gradient of both would take several times the memory of the
rest of the step. The gradient, softmax(z) - onehot, is known as soon as the loss is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BLOCK = 2**18
"""Logits of one block: 1 MB in float32, which stays in a processor's cache."""


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        grad = torch.empty_like(logits) if wanted else None
        size = max(1, _BLOCK // logits.shape[1])
        total = logits.new_zeros((), dtype=torch.float64)
        for first in range(0, len(logits), size):
            part = slice(first, first + size)
            heights, target = logits[part].float(), targets[part, None]
            top = heights.amax(-1, keepdim=True)
            at_target = heights.gather(-1, target)
            chances = (
                heights.sub_(top).exp_() if heights.data_ptr() != logits[part].data_ptr() else (heights - top).exp_()
            )
            mass = chances.sum(-1, keepdim=True)
            total += (mass.log() + top - at_target).sum()
            if grad is not None:
                chances.div_(mass).scatter_add_(-1, target, torch.full_like(mass, -1.0))
                grad[part] = chances
        ctx.grad = grad
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        grad, ctx.grad = ctx.grad, None
        return (None if grad is None else grad.mul_(grads[0].to(grad.dtype))), None


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_t log softmax(z_t)[x_t] in float32, a scalar.

    Args:
        logits: z, shape (tokens, vocabulary), any number format; each block is read in float32.
        targets: x, shape (tokens,).
    """
    found: Any = _Summed.apply(logits, targets)
    return found
