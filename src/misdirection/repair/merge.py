"""Adapters merged into the files of a whole model: which tensor each of their modules is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from misdirection.repair.change import TensorChange
from misdirection.repair.checkpoint import ModelFolder
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter
from misdirection.repair.places import TURNED

_FRONTS = ("", "model.", "transformer.", "gpt_neox.")
"""What files of some families leave out of, or put before, their tensors' names."""


def by_tensor(source: ModelFolder, family: str, adapters: Mapping[Adapter, float]) -> dict[str, TensorChange]:
    """What adapters add to the tensors of a checkpoint.

    Args:
        source: The base.
        family: Its model type.
        adapters: With the factor that each is multiplied by.

    Raises:
        RepairError: A module has no matrix of its own in the files, or one of another shape.
    """
    changes: dict[str, TensorChange] = {}
    turned = family in TURNED
    for adapter, factor in adapters.items():
        for path, held in adapter.factors.items():
            name = _tensor(source, path, adapter)
            stored, wanted = source.tensors[name].shape, (len(held.b), held.a.shape[1])
            if tuple(reversed(stored) if turned else stored) != wanted:
                raise RepairError(
                    f"adapter '{adapter.name}' does not fit {source.folder}: {name} has the shape {stored}, and the "
                    f"adapter's {path} adds {wanted}",
                    f"it was trained on {adapter.base or 'another base'}",
                )
            before = changes.get(name, TensorChange(-1 if turned else 0, turned=turned))
            changes[name] = replace(before, adds=(*before.adds, held.times(factor)))
    return changes


def _tensor(source: ModelFolder, path: str, adapter: Adapter) -> str:
    plain = [f"{front}{path}.weight" for front in _FRONTS]
    plain += [f"{path.removeprefix(front)}.weight" for front in _FRONTS[1:] if path.startswith(front)]
    found = next((name for name in plain if name in source.tensors), None)
    if found is None:
        raise RepairError(
            f"adapter '{adapter.name}' adapts {path}, which has no matrix of its own in the files of {source.folder}",
            f"it was trained on {adapter.base or 'another base'}; where that is this one in another layout, merge with "
            "PEFT (merge_and_unload, save_pretrained) and repair the result",
        )
    return found
