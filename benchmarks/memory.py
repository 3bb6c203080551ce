"""Peak memory of one side: `python -m benchmarks.memory SIDE SETTING` prints MB above what stood before it ran.

On a GPU it is PyTorch's own peak; on a CPU the highest resident size of this process, reset (on Linux) once model and
texts are there and one text has gone through, so that libraries are loaded and their first-time costs are paid.
"""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import field, peers
from benchmarks.reading import our_means
from benchmarks.setting import Setting, batches, build, texts
from misdirection.engine import Text

SIDES = ("ours", "hidden_states", *peers.PEERS)

Run = Callable[[Sequence[Text]], object]


def runner(setting: Setting, side: str) -> Run:
    """What captures the means of given texts, with the model already built."""
    if side in peers.PEERS:
        means = peers.PEERS[side](setting)
        return lambda given: means(batches(setting, given))
    model = build(setting)
    if side == "ours":
        return lambda given: our_means(setting, model, given)
    return lambda given: field.hidden_means(model, batches(setting, given))


def peak(setting: Setting, side: str) -> float:
    """MB above the start."""
    torch.set_num_threads(setting.threads)
    run, given = runner(setting, side), texts(setting)
    run(sorted(given, key=lambda text: len(text.ids))[:1])
    gc.collect()
    if setting.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(given)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = _reset()
    run(given)
    return (_highest() - before) / 1e6


def _reset() -> int:
    """Forget the highest resident size where the system can; what it is now, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _highest()


def _highest() -> int:
    """Highest resident size in bytes: since the last reset on Linux, since the start elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


if __name__ == "__main__":
    print(peak(Setting(**json.loads(sys.argv[2])), sys.argv[1]))
