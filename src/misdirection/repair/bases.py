"""The base that a repair is of: found, and the one that direction and adapter belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.hub import offline_hint, prepare_hub
from misdirection.models import local_folder
from misdirection.naming import short_model_name
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter

_NOT_NEEDED = ["*.bin", "*.pth", "*.pt", "*.gguf", "*.onnx", "*.msgpack", "*.h5", "original/*", "onnx/*"]


def base_folder(name: str) -> Path:
    """The folder of a whole model: local, converted from a GGUF file, or fetched from the hub.

    Raises:
        RepairError: There is none, or it holds an adapter.
    """
    place = Path(local_folder(name))
    if place.is_dir():
        if (place / "adapter_config.json").is_file() and not (place / "config.json").is_file():
            raise RepairError(
                f"{name} is an adapter, and not the base that it changes",
                "name its base with --model, it with --adapter",
            )
        return place
    from huggingface_hub import snapshot_download

    prepare_hub(name)
    try:
        return Path(snapshot_download(name, ignore_patterns=_NOT_NEEDED))
    except Exception as error:  # the hub's errors are many
        raise RepairError(
            f"there is no model {name}", offline_hint() or "check the path or the id of the base model"
        ) from error


def base_of(adapter: Adapter) -> Path:
    """The base that an adapter names.

    Raises:
        RepairError: It names none, or that one is not here.
    """
    if not adapter.base:
        raise RepairError(
            f"adapter '{adapter.name}' does not say which base it belongs to", "name the base with --model"
        )
    try:
        return base_folder(adapter.base)
    except MisdirectionError as error:
        raise RepairError(
            f"adapter '{adapter.name}' belongs to {adapter.base}, which is not here", "name the base with --model"
        ) from error


def demand_same_base(facts: Mapping[str, Any], file: str, *names: str) -> str:
    """Refuse a direction that was made in another base.

    Args:
        facts: Of the direction.
        file: Where it was read.
        names: What the model is called: as typed, where it lies, and as its adapter names it.

    Returns:
        What a reader should know: that the file does not tell; "" where it does.

    Raises:
        RepairError: The file names another base.
    """
    adapter: Any = facts.get("adapter")
    told = [facts.get(name) for name in ("model", "base", "tuned")]
    told += [adapter.get("trained_on")] if isinstance(adapter, Mapping) else []
    made = [str(name) for name in told if name]
    if not made:
        return f"{Path(file).name} does not say in which model the direction was found"
    if {short_model_name(name) for name in made}.isdisjoint(short_model_name(name) for name in names if name):
        raise RepairError(
            f"{file} was found in {made[0]}, and the model is {names[0]}: a direction of another base means nothing "
            "here",
            "give a direction of this base; where both are one base under two names, say --any-base",
        )
    return ""
