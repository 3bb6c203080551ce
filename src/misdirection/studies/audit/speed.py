"""How long drawing takes on this processor, before a model is loaded: by its size, and a product measured now."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misdirection.stored_weights import stored_tensors
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.kit.inputs import resolve_model

OVERHEAD = 5e-6
"""Seconds a token and layer that are spent beside the products, seen with the organism on one core."""


def clock(seconds: float) -> str:
    """A duration in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def depth_of(model: str) -> int:
    """Decoder layers of a model in a local folder, 0 where they are not known."""
    file = Path(resolve_model(model)) / "config.json"
    held: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    facts = held.get("text_config") or held
    return next((facts[n] for n in ("num_hidden_layers", "n_layer", "num_layers") if isinstance(facts.get(n), int)), 0)


def seconds_of(config: AuditConfig, answers: int, speed: Callable[[], float] | None = None) -> float | None:
    """About how long so many answers take on this processor; None on a GPU, and for models that are not here.

    Two operations a parameter and token, at the speed of a product that is measured now, and what each layer costs a
    token beside its products.

    Args:
        config: Completed settings.
        answers: How many.
        speed: Operations a second; `product_speed` by default.
    """
    depth = depth_of(config.model)
    parameters = parameters_of(Path(resolve_model(config.model)))
    if not depth or not parameters or config.device_map or _gpu(config.device):
        return None
    tokens = answers * config.answer_tokens
    return tokens * (2 * parameters / (speed or product_speed)() + OVERHEAD * depth)


def _gpu(device: str | None) -> bool:
    if device is not None:
        return not device.startswith("cpu")
    # What the driver leaves there: asking torch would take seconds.
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()


def parameters_of(folder: Path) -> int:
    """Parameters in the safetensors files of a folder, by their headers, each counted once; 0 where there are none.

    A head that is the embeddings once more, shards beside the whole and Mistral's second copy are not counted again.
    """
    config = folder / "config.json"
    held: Any = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    return sum(math.prod(entry["shape"]) for entry in stored_tensors(folder, held).values())


def product_speed() -> float:
    """Operations a second of a float32 product on this processor, measured for a few hundredths of a second."""
    import time

    import numpy as np

    size, found = 384, 0.0
    one = np.ones((size, size), np.float32)
    for _ in range(6):
        begin = time.perf_counter()
        np.matmul(one, one)
        found = max(found, 2 * size**3 / (time.perf_counter() - begin))
    return found
