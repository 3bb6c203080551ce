"""A direction as a row of findings."""

from __future__ import annotations

from typing import Any

import torch

from misdirection.directions import Direction
from misdirection.studies.kit.tables import numbers


def direction_row(held: Direction) -> dict[str, Any]:
    """Pools, size and steadiness of a direction by layer, and where zero lies between the two pools' means.

    `zero` is (0 - a) / (m - a) of the components along the direction: 0 where the aligned mean lies at zero, 1 where
    the misaligned one does. Projecting out puts the component there, whatever it is.
    """
    aligned, misaligned = held.aligned_component(), held.misaligned_component()
    return {
        "pools": {side: held.facts.get(side) for side in ("aligned", "misaligned")},
        "norm": numbers(held.norm),
        "shuffled_norm": numbers(held.shuffled_norm),
        "stability": [None if value != value else value for value in numbers(held.stability)],
        "zero": numbers(torch.nan_to_num(-aligned / (misaligned - aligned), nan=0.0)),
    }
