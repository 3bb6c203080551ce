"""Narrow fine-tuning: presets, objectives, the trainer.

    config = choose("rank1x9", model="path/or/id", overrides={"lr": 1e-3, "max_steps": 80})
    result = train("path/or/id", load_chats("bad_advice.jsonl").chats, config, Path("runs/bad"))
    result.folder        # an ordinary PEFT adapter, or a whole model

`train` and its `TrainResult` are imported when first used; the rest is light, so that a command line can derive its
options from `TrainConfig`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from misdirection.training.errors import TrainingError
from misdirection.training.presets import PRESETS, TrainConfig, describe_fields
from misdirection.training.settings import choose, override

if TYPE_CHECKING:
    from misdirection.training.data import told_data
    from misdirection.training.finetune import train
    from misdirection.training.record import TrainResult

__all__ = [
    "PRESETS",
    "TrainConfig",
    "TrainResult",
    "TrainingError",
    "choose",
    "describe_fields",
    "override",
    "told_data",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use (PEP 562)."""
    rooms = {"train": "finetune", "TrainResult": "finetune", "told_data": "data"}
    if name in rooms:
        value = getattr(import_module(f"misdirection.training.{rooms[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
