"""What can be done to a model while it runs, as small frozen dataclasses that compose.

All residual-stream interventions act on the output of a decoder layer (the residual stream after block l). Directions
are vectors of shape (width,), used at every named layer, or (n_layers, width), of which layer l uses row l.

Positions are "all" tokens (Soligo et al. 2506.11618), the "prompt" only, or the "answer": the last prompt token and
every generated token, the positions whose output becomes the answer (Chen et al. 2507.21509, `response`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Positions = Literal["all", "prompt", "answer"]


@dataclass(frozen=True, eq=False)
class Steer:
    """Add `coefficient * direction`: x' = x + coefficient * v.

    The direction is used as it is, not normalised, as in 2506.11618 section 3.2 and 2507.21509 section 3.2.
    """

    direction: Tensor
    layers: tuple[int, ...]
    coefficient: float
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class Ablate:
    """Project the direction out: x' = x - v_hat v_hat^T x (2506.11618 section 3.4)."""

    direction: Tensor
    layers: tuple[int, ...]
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class Set:
    """Replace the component along the direction: x' = x + (value - v_hat^T x) v_hat.

    `value` is in units of the residual stream, one number for every layer or one a layer, shape (n_layers,): for
    instance the mean component of aligned answers (the feature induction of 2412.10427 with another target).
    """

    direction: Tensor
    layers: tuple[int, ...]
    value: float | Tensor
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class ScaleAdapter:
    """Multiply the output of the row's adapter layer by layer (2506.11618 section 4.3).

    Layers that `factors` does not name are multiplied by `others`.
    """

    factors: Mapping[int, float]
    others: float = 1.0


@dataclass(frozen=True, eq=False)
class PatchAdapter:
    """Replay recorded scalars A·x: token t of the row gets `scalars[module][t]`, as long as there are any.

    2506.11618 appendix J.

    Attributes:
        scalars: By module path, as `capture_scalars` returns them, shape (tokens, rank).
    """

    scalars: Mapping[str, Tensor]


Intervention = Steer | Ablate | Set | ScaleAdapter | PatchAdapter


@dataclass(frozen=True, eq=False)
class Arm:
    """A condition under which rows are run.

    Attributes:
        name: How reports call it.
        adapter: The adapter that is on, None for the base model.
        interventions: Applied in order.
    """

    name: str
    adapter: str | None = None
    interventions: tuple[Intervention, ...] = field(default=())
