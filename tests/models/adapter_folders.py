"""Adapters of tiny models as folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.families import network
from tests.models.lora_files import made


def adapter_folder(folder: Path, family: str = "llama", base: str = "tiny-llama", **settings: Any) -> Path:
    """An adapter trained on a model of a family, as PEFT saves it."""
    lm = network(family)
    lm.name_or_path = lm.config._name_or_path = base
    return made(folder, lm, **settings)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
