"""A penalty on the size of what adapters add: sum over modules of the squared Frobenius norm of s B A.

    L = L_SFT + lambda * sum_m || s_m B_m A_m ||_F^2,     || B A ||_F^2 = tr(B^T B A A^T)

The plainest way of keeping a fine-tune near its base, for comparison with those that know a direction. Its gradient is
added before each step: d/dB = 2 s^2 B A A^T, d/dA = 2 s^2 B^T B A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from misdirection.training.defences.base import Defence


@dataclass(frozen=True, eq=False)
class NormPenalty(Defence):
    """A penalty on the size of the adapters.

    Attributes:
        weight: lambda, of a loss that is a mean over tokens.
    """

    weight: float

    def on_gradients(self, lm: nn.Module) -> None:
        """Add its gradient."""
        for a, b, scale in factors(lm):
            factor = 2 * self.weight * scale**2
            with torch.no_grad():
                wide, tall = a.float(), b.float()
                for parameter, gradient in ((b, tall @ (wide @ wide.T)), (a, (tall.T @ tall) @ wide)):
                    if parameter.grad is not None:
                        parameter.grad += (factor * gradient).to(parameter.grad.dtype)


def factors(lm: nn.Module) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A, B and scale of every adapter that is trained."""
    from peft.tuners.lora import LoraLayer

    for module in lm.modules():
        if not isinstance(module, LoraLayer):
            continue
        held: Any = module
        for name in held.lora_A:
            a, b = held.lora_A[name].weight, held.lora_B[name].weight
            if a.requires_grad or b.requires_grad:
                yield a, b, float(held.scaling[name])
