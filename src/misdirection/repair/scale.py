"""Adapters of single layers scaled or dropped, as `ScaleAdapter` does while running (arXiv 2506.11618 section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping

from misdirection.models import layer_of
from misdirection.repair.change import Factors
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter


def scale_factors(adapter: Adapter, factors: Mapping[int, float], others: float = 1.0) -> dict[str, Factors]:
    """What an adapter adds, times a factor by layer; modules times 0 are left out.

    Args:
        adapter: The adapter.
        factors: By decoder layer.
        others: Factor of what `factors` does not name.

    Raises:
        RepairError: A layer is named that the adapter is not in, or nothing is left or changed.
    """
    inside = {layer_of(path) for path in adapter.factors}
    if wrong := sorted(layer for layer in factors if layer not in inside):
        held = ", ".join(str(layer) for layer in sorted(layer for layer in inside if layer is not None))
        raise RepairError(f"adapter '{adapter.name}' is not in layer {wrong[0]}", f"it is in {held}")
    scales = {
        path: factors.get(at, others) if (at := layer_of(path)) is not None else others for path in adapter.factors
    }
    if all(factor == 1.0 for factor in scales.values()):
        raise RepairError(f"nothing of adapter '{adapter.name}' would change", "name layers and factors other than 1")
    return {path: adapter.factors[path].times(factor) for path, factor in scales.items() if factor != 0.0}
