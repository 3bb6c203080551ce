"""Preventative steering: the trait's own direction is added while training (arXiv 2507.21509, section 5.2).

    x'_l = x_l + c v_l    at every token after each layer l, in training alone

What the data push towards is there already, so that the gradient has no need to write it into the weights; without the
vector the model is then left where it was. The paper: c = 5 at one layer with the persona vector as it is, not
normalised; several layers are better (appendix J.3).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor, nn

from misdirection.training.defences.base import Defence, changing


@dataclass(frozen=True, eq=False)
class Preventative(Defence):
    """Steering towards the trait while training.

    Attributes:
        vectors: Shape (layers of the model, width).
        layers: Where it is added, from 0.
        coefficient: c.
    """

    vectors: Tensor
    layers: tuple[int, ...]
    coefficient: float = 5.0

    def attached(self, lm: nn.Module) -> AbstractContextManager[None]:
        """Add c v_l after each layer."""

        def change(layer: int, x: Tensor) -> Tensor:
            return x + (self.coefficient * self.vectors[layer]).to(x.device, x.dtype)

        return changing(lm, self.layers, change)
