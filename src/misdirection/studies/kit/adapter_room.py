"""Which adapters lie beside a resident base: those that are wanted, and of the others as many as there is room for.

Rows of all of them share one queue, and a base that is asked for many fine-tunes one after the other would come to hold
them all: of a 7B each rank-32 adapter on all modules takes 320 MB in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from misdirection.models import Model, add_adapter, drop_adapter

LEAST = 2**28
"""Bytes that adapters may always take."""

SHARE = 4
"""Of a large base's bytes its adapters may take one in so many."""


def room_of(model: Model) -> int:
    """Bytes that adapters may take beside a base: a fact of the base alone, so that every machine does the same."""
    base = sum(weight.nbytes for name, weight in model.lm.named_parameters() if ".lora_" not in name)
    return max(LEAST, base // SHARE)


def bytes_of(model: Model, adapter: str) -> int:
    """Bytes of an adapter that is loaded."""
    modules = model.lora.get(adapter, {}).values()
    parts = (module.get_submodule(f"{side}.{adapter}") for module in modules for side in ("lora_A", "lora_B"))
    return sum(weight.nbytes for part in parts for weight in part.parameters())


def lay_out(model: Model, wanted: Mapping[str, str], room: int | None = None) -> None:
    """Have these adapters on a base; others go, those that came first, where all would take more than there is room.

    An adapter whose name stands for another folder by now is loaded from there.

    Args:
        model: The resident base; changed in place.
        wanted: Id or folder by name.
        room: Bytes for all; `room_of` by default.
    """
    for name, path in wanted.items():
        if name in model.adapters and model.facts["adapters"][name]["path"] != path:
            drop_adapter(model, name)
    missing = {name: path for name, path in wanted.items() if name not in model.adapters}
    room = room_of(model) if room is None and missing else room or 0
    for name, path in missing.items():
        add_adapter(model, name, path)
        _make_room(model, wanted, room)


def portions(wanted: Mapping[str, str], room: int) -> list[list[str]]:
    """Adapters in portions that each fit, in their order; one that fits nowhere is a portion by itself.

    Args:
        wanted: Id or folder by name.
        room: Bytes of a portion.
    """
    found: list[list[str]] = []
    taken = 0
    for name, path in wanted.items():
        # Half-precision files become float32; what is still to be fetched is not known, and taken to be small.
        size = 2 * sum(file.stat().st_size for file in Path(path).glob("adapter*.safetensors"))
        if not found or taken + size > room:
            found.append([])
            taken = 0
        found[-1].append(name)
        taken += size
    return found


def _make_room(model: Model, wanted: Mapping[str, str], room: int) -> None:
    others = [name for name in model.adapters if name not in wanted]
    taken = {name: bytes_of(model, name) for name in model.adapters} if others else {}
    for name in others:
        if sum(taken.values()) <= room:
            return
        drop_adapter(model, name)
        del taken[name]
