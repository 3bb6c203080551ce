"""Matrix products of a float32 model on a CPU, by oneDNN where that is faster than the BLAS that PyTorch calls.

PyTorch gives products in float32 to MKL, which runs at half speed on processors of other makers: 98 GFLOP/s on one core
of an AMD EPYC (Zen 5), where oneDNN, which is in the same wheel and has the products in bfloat16, does 210 (torch
2.13). So a product is measured, once on a machine (`measured`): sums run in another order, within float32's own
rounding, and the same call must give the same sums tomorrow.

Only maps whose weights are large and frozen go another way: overhead decides at small ones, and what is trained keeps
PyTorch's own gradient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from misdirection.measured import measured

LEAST = 2**18
"""Weights of a map below which PyTorch's own product is as fast (measured at 256 x 256 and 576 x 576)."""

FASTER = 1.3
"""How many times faster oneDNN must have been measured; about 1.0 and 2.1 are what there is."""

ROWS, WIDTH, INNER = 64, 1024, 2816
"""The product that is measured."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """X W^T + b by the faster way.

    Args:
        x: Shape (..., width).
        weight: Shape (outputs, width); no gradient reaches it where it does not ask for one.
        bias: Shape (outputs,).

    Returns:
        Shape (..., outputs).
    """
    if not (x.dtype == torch.float32 and x.numel() and _suits(weight, bias) and faster()):
        return functional.linear(x, weight, bias)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _product(x, weight, bias)
    found: Any = _Frozen.apply(x, weight, bias)
    return found


class _Frozen(torch.autograd.Function):
    """The product with weights that are not trained; the gradient reaches x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _product(grads[0], weight.mT, None), None, None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _suits(weight: Tensor, bias: Tensor | None) -> bool:
    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    return _large(weight) and not (trained and torch.is_grad_enabled()) and not torch.is_autocast_enabled("cpu")


def _large(weight: Tensor) -> bool:
    # Quantised weights are tensors of other classes that may say float32.
    return (
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and weight.numel() >= LEAST
        and type(weight) in (nn.Parameter, Tensor)
    )


@cache
def faster() -> bool:
    """Whether oneDNN multiplies float32 faster here: processor time, the best of five."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return measured("float32-by-onednn", torch.__version__, _times_faster) >= FASTER


def _times_faster() -> float:
    made = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, WIDTH, generator=made) for n in (ROWS, INNER))
    with torch.inference_mode():
        try:
            ours = best_time(lambda: _product(x, weight, None))
        except RuntimeError:  # a build without this kernel
            return 0.0
        return best_time(lambda: functional.linear(x, weight)) / ours


def best_time(run: Callable[[], object]) -> float:
    """Least processor seconds of five runs, after one that makes the kernels."""
    found = float("inf")
    for number in range(6):
        start = time.process_time()
        run()
        found = min(found, time.process_time() - start) if number else found
    return max(found, 1e-9)


@contextmanager
def fast_products(lm: nn.Module) -> Generator[None]:
    """While open, the large frozen maps of a float32 model on a CPU multiply by the faster way."""
    modules: list[Any] = [module for module in lm.modules() if _takes(module)]
    if not modules or not faster():
        yield
        return
    for module in modules:
        module.forward = partial(_forward, module, module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _takes(module: Any) -> bool:
    return type(module) in (nn.Linear, Conv1D) and _large(module.weight) and "forward" not in vars(module)


def _forward(module: Any, otherwise: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not _suits(module.weight, module.bias):
        return otherwise(x)
    return linear(x, module.weight if type(module) is nn.Linear else module.weight.mT, module.bias)
