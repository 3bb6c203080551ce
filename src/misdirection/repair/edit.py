"""A direction taken out of what an adapter writes: B' = (I - u u^T) B, A as it was (arXiv 2506.11618 appendix D)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from misdirection.adapters.editing import split_b
from misdirection.adapters.weights import writes_residual
from misdirection.models import layer_of
from misdirection.repair.change import Factors, SharesAlong
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter


@dataclass(frozen=True)
class Edited:
    """An adapter that no longer writes along a direction.

    Attributes:
        factors: By module.
        along: By layer, how much of what its B's write lay along the direction.
        left: Modules that write elsewhere and stay as they were.
    """

    factors: Mapping[str, Factors]
    along: Mapping[int, SharesAlong]
    left: tuple[str, ...]


def edit_factors(adapter: Adapter, units: Mapping[int, Tensor]) -> Edited:
    """Take a direction out of every B of some layers that writes to the residual stream.

    What modules that do not write there (q_proj, gate_proj ...) do to it by way of the base's weights stays; a removal
    in the whole model's weights takes that too.

    Args:
        adapter: The adapter.
        units: Direction by layer, shape (width,), length 1.

    Raises:
        RepairError: None of its modules writes to the residual stream there, or one is of another width.
    """
    factors, along, left = dict(adapter.factors), dict[int, SharesAlong](), list[str]()
    for path, held in adapter.factors.items():
        layer = layer_of(path)
        unit = None if layer is None else units.get(layer)
        if not writes_residual(path) or layer is None or unit is None:
            left += [] if writes_residual(path) else [path]
            continue
        if held.b.shape[0] != len(unit):
            raise RepairError(
                f"adapter '{adapter.name}' writes {held.b.shape[0]} numbers at {path}, the direction has {len(unit)}",
                "give a direction of this adapter's base",
            )
        part, rest = split_b(held.b, unit)
        found = SharesAlong(float(part.double().square().sum()), float(held.b.double().square().sum()))
        along[layer] = along.get(layer, SharesAlong()) + found
        factors[path] = replace(held, b=rest)
    if not along:
        raise RepairError(
            f"adapter '{adapter.name}' writes to the residual stream at none of these layers, so nothing can be taken "
            "out of it",
            "merge it and project the whole model (repair project), or scale its layers (repair scale)",
        )
    return Edited(factors, along, tuple(left))
