"""How many CPU threads: one for small models, on which a second only waits for the first."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from misdirection.errors import MisdirectionError

SMALL = 200_000_000
"""Bytes of weights below which one thread is faster (benchmarks/README.md)."""


def set_threads(model: str) -> None:
    """Set torch's threads by $MISDIRECTION_THREADS, or to one for a small local model."""
    from misdirection import progress
    from misdirection.studies.kit.inputs import resolve_model

    with progress.phase("importing torch and transformers"):
        import torch

        # All that measures needs it, so that its seconds are counted here.
        import_module("misdirection.studies.kit.drawing")

    given = os.environ.get("MISDIRECTION_THREADS", "0")
    if not given.isdigit():
        raise MisdirectionError(f"$MISDIRECTION_THREADS is '{given}'", "a number of threads; 0 leaves the choice to us")
    asked = int(given)
    folder = Path(resolve_model(model))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else SMALL
    if asked or size < SMALL:
        torch.set_num_threads(asked or 1)
