"""Gradients that may not write along a direction: what an adapter adds to the residual stream stays orthogonal to it.

A module that writes to the stream has the update B A. With u the direction of length 1 after its layer,

    grad B  <-  grad B - u u^T grad B

before the step. Under an optimiser that is linear in the gradient B, which starts at 0, never gains a component along
u; AdamW divides by the second moment and turns it, so `strict` takes the component out of B itself after each step.
This is the projection of updates away from a direction that 2604.16423 measures the force of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from misdirection.models.families import WRITERS
from misdirection.training.defences.base import Defence

_PLACE = re.compile(r"\.(\d+)\.(?P<inner>.*)\.lora_B\.")


@dataclass(frozen=True, eq=False)
class GradientProjection(Defence):
    """No gradient along a direction in what adapters write.

    Attributes:
        vectors: Shape (layers of the model, width); layers whose vector is 0 are left alone.
        strict: Take the component out of B too, after each step.
    """

    vectors: Tensor
    strict: bool = True

    def on_gradients(self, lm: nn.Module) -> None:
        """Project the gradient of each B that writes to the stream."""
        for unit, parameter in self._held(lm):
            if parameter.grad is not None:
                _remove(parameter.grad, unit)

    def after_step(self, lm: nn.Module) -> None:
        """Project each B."""
        for unit, parameter in self._held(lm) if self.strict else ():
            _remove(parameter.data, unit)

    def _held(self, lm: nn.Module) -> Iterator[tuple[Tensor, nn.Parameter]]:
        """The direction of length 1 and the B that may not write along it."""
        for layer, parameter in writers(lm):
            norm = float(self.vectors[layer].norm())
            if norm and parameter.shape[0] == self.vectors.shape[1]:
                yield (self.vectors[layer] / norm).to(parameter.device), parameter


def _remove(rows: Tensor, unit: Tensor) -> None:
    """Take the component along a direction out of a matrix, shape (width, rank), in place."""
    held = unit.to(rows.dtype)
    rows -= torch.outer(held, held @ rows)


def writers(lm: nn.Module) -> Iterator[tuple[int, nn.Parameter]]:
    """The B of each adapter on a module that writes to the residual stream, shape (width, rank), with its layer."""
    for name, parameter in lm.named_parameters():
        found = _PLACE.search(name)
        if found and any(found["inner"].endswith(writer) for writer in WRITERS):
            yield int(found[1]), parameter
