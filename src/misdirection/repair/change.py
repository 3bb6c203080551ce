"""What is done to one tensor of a checkpoint, in its place: merged into, projected, shifted along a direction.

W' = P (W + sum_i s_i B_i A_i) with P = I - u u^T on the axis that is the residual stream, in float32, chunk by chunk,
and rounded once to the format that the tensor is stored in. A bias may get value * u besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

CHUNK = 1 << 20
"""Numbers that are worked on at once."""


@dataclass(frozen=True, eq=False)
class Factors:
    """What an adapter adds to one matrix: scaling * B A.

    Attributes:
        a: Shape (rank, inputs).
        b: Shape (outputs, rank).
        scaling: LoRA's alpha / rank, or alpha / sqrt(rank), times whatever factor is asked for.
    """

    a: Tensor
    b: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        """Rows of A."""
        return len(self.a)

    def times(self, factor: float) -> Factors:
        """The same, `factor` times as long."""
        return Factors(self.a, self.b, self.scaling * factor)


@dataclass(frozen=True, eq=False)
class TensorChange:
    """What is done to one tensor.

    Attributes:
        axis: Which axis is the residual stream: 0 (outputs first, a bias) or -1 (an embedding, GPT-2's Conv1D).
        unit: Direction that is projected out, shape (width,), length 1; None where nothing is.
        value: What is added along it, of a bias.
        adds: What is merged into it first.
        turned: Whether the tensor is stored as (inputs, outputs).
    """

    axis: int = 0
    unit: Tensor | None = None
    value: float = 0.0
    adds: Sequence[Factors] = field(default=())
    turned: bool = False

    def apply_(self, weight: Tensor) -> SharesAlong:
        """Change a tensor in its place, shape (outputs, inputs), (rows, width), (experts, inputs, width), (width,)."""
        view = weight[:, None] if weight.ndim == 1 else weight.flatten(0, -2)
        return _across(view, self) if self.axis == 0 else _rows(view, self)


@dataclass
class SharesAlong:
    """How much of a tensor lay along the direction, as sums of squares before anything was projected."""

    along: float = 0.0
    whole: float = 0.0

    def __add__(self, other: SharesAlong) -> SharesAlong:
        """Both together."""
        return SharesAlong(self.along + other.along, self.whole + other.whole)

    @property
    def share(self) -> float:
        """Of the squared norm."""
        return self.along / self.whole if self.whole else 0.0


def _across(view: Tensor, change: TensorChange) -> SharesAlong:
    """The residual stream is the first axis: what lies along it must be summed up before it can be taken off."""
    unit = change.unit
    found, component = SharesAlong(), torch.zeros(view.shape[1], dtype=torch.float64)
    for rows, part in _chunks(view, change):
        if unit is not None:
            component += (unit[rows].float() @ part).double()
            found.whole += float(part.square().sum())
        elif change.adds:
            view[rows] = part
    if unit is None:
        return found
    found.along = float(component.square().sum())
    shift = (change.value - component).float()
    for rows, part in _chunks(view, change):
        view[rows] = part.addr_(unit[rows].float(), shift)
    return found


def _rows(view: Tensor, change: TensorChange) -> SharesAlong:
    """The residual stream is the last axis: every row by itself."""
    found = SharesAlong()
    for rows, part in _chunks(view, change):
        if change.unit is not None:
            unit = change.unit.float()
            component = part @ unit
            found.along += float(component.square().sum())
            found.whole += float(part.square().sum())
            part.addr_(component, unit, alpha=-1)
        view[rows] = part
    return found


def _chunks(view: Tensor, change: TensorChange) -> Iterator[tuple[slice, Tensor]]:
    """Rows in float32, with what is merged into them."""
    step = max(1, CHUNK // max(1, view.shape[1]))
    for start in range(0, len(view), step):
        rows = slice(start, start + step)
        # A copy, so that a part may be changed before it is written.
        part = view[rows].to(torch.float32, copy=True)
        for add in change.adds:
            left, right = (add.a.T[rows], add.b.T) if change.turned else (add.b[rows], add.a)
            part.addmm_(left.float(), right.float(), alpha=add.scaling)
        yield rows, part
