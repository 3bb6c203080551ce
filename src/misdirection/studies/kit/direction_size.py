"""How large a direction is, as a row of findings."""

from __future__ import annotations

import torch

from misdirection.directions import Direction
from misdirection.results import DirectionSize, Pools
from misdirection.studies.kit.tables import known_numbers, numbers


def direction_size(direction: Direction) -> DirectionSize:
    """Pools, size and steadiness of a direction by layer, and where zero lies between the two pools' means.

    `zero` is (0 - a) / (m - a) of the components along the direction: 0 where the aligned mean lies at zero, 1 where
    the misaligned one does. Projecting out puts the component there, whatever it is.
    """
    aligned, misaligned = direction.aligned_component(), direction.misaligned_component()
    return DirectionSize(
        pools=Pools(aligned=direction.facts.get("aligned"), misaligned=direction.facts.get("misaligned")),
        norm=numbers(direction.norm),
        shuffled_norm=numbers(direction.shuffled_norm),
        stability=known_numbers(direction.stability),
        zero=numbers(torch.nan_to_num(-aligned / (misaligned - aligned), nan=0.0)),
    )
