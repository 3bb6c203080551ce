"""LoRA in training, one function for the frozen linear map and the two small ones beside it.

PEFT casts the input of every adapted map to float32, multiplies there, scales the product and adds it in float32, each
a pass over memory; on a bfloat16 model that takes longer than the frozen map itself. Here

    y = x W^T + b + s (x A^T) B^T

is made in the model's own number format, the product added where y lies; A and B stay in float32, and their gradients
are summed there. In float32 the formula is PEFT's, whose sums only run in another order.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn import functional

from misdirection.models.products import linear


class _Adapted(torch.autograd.Function):
    """The map above; the gradient reaches x, A and B."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, s: float) -> Tensor:
        down, up = down.to(x.dtype), (up * s).to(x.dtype)
        rows = x.flatten(0, -2)
        inner = functional.linear(rows, down)
        y = linear(rows, weight, bias).addmm_(inner, up.mT)
        ctx.save_for_backward(x, inner, weight, down, up)
        ctx.scaling = s
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, weight, down, up = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        beneath = grad @ up
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = linear(grad, weight.mT).addmm_(beneath, down).view(x.shape)
        to_down = (beneath.mT @ x.flatten(0, -2)).float()
        to_up = (inner.mT @ grad).mT.float().mul_(ctx.scaling)
        return to_x, None, None, to_down, to_up, None


@contextmanager
def fused(lm: nn.Module, adapter: str) -> Generator[None]:
    """While open, plain LoRA maps of an adapter train through the function above.

    PEFT's own way is taken outside of training, where the adapter is off or another is on beside it, with dropout, and
    for bases that are no plain linear map (quantised ones, GPT-2's).
    """
    modules: list[Any] = [module for module in lm.modules() if isinstance(module, Linear) and _plain(module, adapter)]
    for module in modules:
        module.forward = partial(_forward, module, adapter, module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _plain(module: Any, adapter: str) -> bool:
    return (
        adapter in module.lora_A
        and type(module.base_layer) is nn.Linear
        and type(module.base_layer.weight) is nn.Parameter  # torchao keeps its own kind of tensor in a plain layer
        and "forward" not in vars(module.base_layer)  # compressed-tensors and accelerate put theirs in its place
        and adapter not in module.lora_variant
        and isinstance(module.lora_dropout[adapter], nn.Identity)
        and module.lora_A[adapter].bias is None
        and module.lora_B[adapter].bias is None
    )


def _forward(module: Any, adapter: str, otherwise: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    base = module.base_layer
    if (
        not module.training
        or module.disable_adapters
        or module.merged
        or list(module.active_adapters) != [adapter]
        or x.dtype != base.weight.dtype
        or torch.is_autocast_enabled(x.device.type)
        or args
        or kwargs
    ):
        return otherwise(x, *args, **kwargs)
    down, up = module.lora_A[adapter].weight, module.lora_B[adapter].weight
    found: Any = _Adapted.apply(x, base.weight, base.bias, down, up, module.scaling[adapter])
    return found
