"""Measurements that other processes are sent in these tests."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

from misdirection.errors import MisdirectionError
from misdirection.store import Incidental, Workspace


@dataclass(frozen=True)
class Product:
    """Sums of products whose last bit depends on the order in which they are added."""

    seed: int
    sums: torch.Tensor
    threads: int


def product(seed: int, size: int = 300) -> Product:
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
    return Product(seed, (drawn @ drawn.T).sum(0), torch.get_num_threads())


def refused(seed: int) -> float:
    if seed == 1:
        raise MisdirectionError("seed 1 is no good", "take another")
    return float(seed)


def killed_once(seed: int, workspace: Workspace, marks: Incidental[Path]) -> list[str]:
    """Kills its own process on the first try of seed 1, with something kept on the way; tells the tries."""
    with (marks / f"tries-{seed}").open("a", encoding="utf-8") as stream:
        stream.write(".")
    kept = workspace / "half"
    found = ["goes on from what was kept"] if kept.exists() else ["from the start"]
    if seed == 1 and not kept.exists():
        kept.write_text("half", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def always_killed(seed: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return seed
