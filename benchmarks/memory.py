"""Peak memory of one side: `python -m benchmarks.memory SIDE SETTING` prints MB above what stood before it ran.

On a GPU it is PyTorch's own peak; on a CPU the highest resident size of this process, reset (on Linux) once model and
texts are there and one text has gone through, so that libraries are loaded and their first-time costs are paid.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import torch

from benchmarks import field, peers
from benchmarks.reading import our_means
from benchmarks.setting import Setting, batches, build, texts
from misdirection.engine import Text
from misdirection.studies.kit.costs import counted

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
    with counted(setting.device) as cost:
        run(given)
    return cost.megabytes


if __name__ == "__main__":
    print(peak(Setting(**json.loads(sys.argv[2])), sys.argv[1]))
