"""The state from which a killed fine-tune goes on: trained weights, optimiser, schedule, random streams.

The Trainer of transformers keeps such states as pickles (`optimizer.pt`, `scheduler.pt`, `rng_state.pth`,
`training_args.bin`) in a folder that a kill can leave half written. Here one is a folder of two files, safetensors
and JSON, renamed into place when it is whole.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection.artefacts import read_tensors, whole_folder, write_tensors
from misdirection.errors import MisdirectionError

STATE = "trainer_state.json"
"""Name that transformers gives to the counters of its loop."""

_TENSORS = "state.safetensors"


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """The whole `step-N` folders in `folder`, by N."""
    found = [(int(path.name[5:]), path) for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found)


def save_snapshot(
    folder: Path,
    step: int,
    trained: Mapping[str, Tensor],
    optimizer: Any,
    scheduler: Any,
    state: Any,
    passes: Mapping[str, int],
) -> None:
    """Write the state after `step` and drop the older ones.

    Args:
        folder: Where the states lie, one `step-N` each.
        step: Optimiser steps done.
        trained: The parameters in training by name.
        optimizer: The torch optimiser.
        scheduler: Its learning-rate schedule.
        state: transformers' `TrainerState`.
        passes: How rows go into passes, for `load_passes`.
    """
    tensors = {f"weight/{name}": value for name, value in trained.items()}
    rest: dict[str, dict[str, Any]] = {}
    for number, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{key}"] = value
            else:
                rest.setdefault(str(number), {})[key] = value
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random/cuda{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    facts = {"step": step, "optimizer": rest, "scheduler": scheduler.state_dict(), "python": random.getstate()}
    facts["passes"] = dict(passes)
    with whole_folder(folder / f"step-{step}") as partial:
        write_tensors(partial / _TENSORS, tensors, facts)
        state.save_to_json(str(partial / STATE))
    for number, path in numbered(folder):
        if number != step:
            shutil.rmtree(path)


def newest_snapshot(folder: Path) -> tuple[int, Path] | None:
    """The newest state that can be read, None when there is none; damaged ones are removed."""
    for step, path in reversed(numbered(folder)):
        try:
            read_tensors(path / _TENSORS)
        except MisdirectionError:
            shutil.rmtree(path)
            continue
        return step, path
    return None


def load_weights(path: Path, trained: Mapping[str, Tensor]) -> None:
    """Put the state's weights into the parameters in training."""
    tensors, _ = read_tensors(path / _TENSORS)
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(tensors[f"weight/{name}"])


def load_optimizer(path: Path, optimizer: Any, scheduler: Any) -> None:
    """Put the state's moments, counters and learning rates into a fresh optimiser and its schedule."""
    tensors, facts = read_tensors(path / _TENSORS)
    entries: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in facts["optimizer"].items()}
    for name, value in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            number, _, key = rest.partition("/")
            entries.setdefault(int(number), {})[key] = value
    scheduler.load_state_dict(facts["scheduler"])
    groups = cast(list[dict[str, Any]], optimizer.state_dict()["param_groups"])
    for group, rate in zip(groups, facts["scheduler"]["_last_lr"], strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def load_passes(path: Path) -> dict[str, int]:
    """How rows went into passes up to the state; empty in a state of before that was kept."""
    return dict(read_tensors(path / _TENSORS)[1].get("passes", {}))


def load_random(path: Path) -> None:
    """Set the random streams to where the state found them."""
    tensors, facts = read_tensors(path / _TENSORS)
    torch.set_rng_state(tensors["random/cpu"])
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            if f"random/cuda{number}" in tensors:
                torch.cuda.set_rng_state(tensors[f"random/cuda{number}"], number)
    version, words, gauss = facts["python"]
    random.setstate((version, tuple(words), gauss))
