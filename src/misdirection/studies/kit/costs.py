"""What a piece of work costs: its time, and the memory that it takes at its peak beyond what stood there before."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """A cost; both are 0 until the work is done.

    Attributes:
        seconds: Processor time of this process, which others on the machine do not change; where there is a GPU, which
            works while the processor waits, time on the clock.
        megabytes: Peak above what stood before: of PyTorch's allocator on a GPU, else of resident memory. What a
            process loads at its first work (libraries, buffers) counts there, so that of like works the least is right.
    """

    seconds: float = 0.0
    megabytes: float = 0.0

    def then(self, other: Cost) -> Cost:
        """Of both, one after the other."""
        return Cost(self.seconds + other.seconds, max(self.megabytes, other.megabytes))


@contextlib.contextmanager
def counted(device: str) -> Generator[Cost]:
    """Count what the block costs on a device, "cpu", "cuda" ...; the figures are there when it has ended."""
    gpu = device.startswith("cuda")
    clock = time.monotonic if gpu else time.process_time
    cost, before, since = Cost(), _reset_peak(gpu), clock()
    yield cost
    cost.seconds, cost.megabytes = clock() - since, max(0.0, (_peak(gpu) - before) / 1e6)


def _reset_peak(gpu: bool) -> int:
    """Forget the highest memory where the system can (not on macOS); what is taken now, in bytes."""
    import torch

    gc.collect()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    # What was freed and is kept for the next would else hide what the next takes.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak(gpu)


def _peak(gpu: bool) -> int:
    """Highest memory in bytes: of the GPU, or resident, since the last reset on Linux and since the start elsewhere."""
    import torch

    if gpu:
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
