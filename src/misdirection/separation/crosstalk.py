"""Every concept's direction added in turn, so that what it does to the others can be read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from misdirection.directions.controls import random_like
from misdirection.engine import Arm, Steer
from misdirection.engine.interventions import Intervention

AS_IT_IS = "as it is"
RANDOM = "random"


def steering_arms(directions: Mapping[str, Tensor], layer: int, norm: float, randoms: int, seed: int) -> list[Arm]:
    """The model as it is, an arm a concept, and arms of random directions: x' = x + norm * v / |v| after the layer.

    Args:
        directions: Shape (width,), by concept.
        layer: Decoder layer.
        norm: Length of what is added, the same for all; in units of the residual stream.
        randoms: How many random directions of the same length.
        seed: Of them.
    """
    first = next(iter(directions.values()))
    drawn = {f"{RANDOM} {i + 1}": random_like(first, seed + i) for i in range(randoms)}
    arms = [Arm(AS_IT_IS)]
    for name, vector in {**directions, **drawn}.items():
        done: Intervention = Steer(torch.nn.functional.normalize(vector.float(), dim=0), (layer,), norm)
        arms.append(Arm(name, None, (done,)))
    return arms
