from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.arms import mixture
from tests.families import prompt, shared

from misdirection.engine import Prompt, Row, SamplingConfig, Text, batching, capture_means, compare, sample
from misdirection.engine.batching import default_budget, give_back, is_out_of_memory, pack, run_batches
from misdirection.models import Model, NotEnoughMemoryError


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ab")), max_size=40),
    st.integers(1, 100),
)
def test_batches_hold_every_item_once_within_the_budget(items: list[tuple[int, str]], budget: int) -> None:
    lengths, kinds = [length for length, _ in items], [kind for _, kind in items]
    batches = pack(lengths, budget, kinds)
    assert sorted(index for batch in batches for index in batch) == list(range(len(items)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    flat = [index for batch in batches for index in batch]
    assert [kinds[index] for index in flat] == sorted(kinds)
    for kind in "ab":
        own = [lengths[index] for index in flat if kinds[index] == kind]
        assert own == sorted(own, reverse=True)
    # No two neighbours of one kind would have fitted in one batch: batches are as few as this order allows.
    for one, two in pairwise(batches):
        joined = [*one, two[0]]
        assert len(joined) * max(lengths[index] for index in joined) > budget


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20), max_size=30), st.integers(20, 60), st.integers(1, 500))
def test_a_sweep_ends_when_memory_runs_out_on_the_way(lengths: list[int], room: int, budget: int) -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> list[int]:
        size = len(batch) * max(lengths[index] for index in batch)
        if size > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(size)
        return [index * index for index in batch]

    found: dict[int, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # hundreds of collections of a heap with torch in it take a minute
        for batch, result in run_batches(range(len(lengths)), lambda index: lengths[index], budget, run):
            assert not set(batch) & set(found), "no item twice"
            found.update(zip(batch, result, strict=True))
    assert found == {index: index * index for index in range(len(lengths))}


def test_one_item_that_does_not_fit_says_so() -> None:
    def run(batch: list[int]) -> None:
        if 7 in batch:
            raise MemoryError

    with pytest.raises(NotEnoughMemoryError, match="one row of 7 tokens does not fit"):
        list(run_batches([3, 7, 5], lambda item: item, 100, run))


def test_other_errors_pass_through() -> None:
    def run(_: list[int]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(run_batches([1, 2], lambda item: item, 10, run))


def test_what_memory_errors_look_like() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**50)
    assert is_out_of_memory(real.value)


def test_the_default_budget_follows_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    model = shared("qwen2")
    memory = type("Memory", (), {"available": 0})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    found = []
    for free in (0, 2**27, 2**40):
        memory.available = free
        found.append(default_budget(model))
    assert found[0] == 1024
    assert found[0] < found[1] < found[2]
    # Keys and values of a token: two, four layers, two heads of eight numbers, four bytes.
    assert found[1] * 2 * 4 * 2 * 8 * 4 <= 2**27 / 3
    # However much is free, a small model's rows keep no more than so much.
    monkeypatch.setattr(batching, "_KEPT_BYTES", 2**23)
    assert 1024 < default_budget(model) < found[2]
    assert default_budget(model) * 2 * 4 * 2 * 8 * 4 <= 2**23


class Small:
    """Memory for so many tokens in one forward pass; real `torch.OutOfMemoryError`s beyond."""

    def __init__(self, model: Model, tokens: int) -> None:
        self.tokens, self.failures = tokens, 0
        self.handle = model.layers[1].register_forward_pre_hook(self.check)

    def check(self, _module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[0] * inputs[0].shape[1] > self.tokens:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.parametrize("what", ["sampling", "capture", "likelihood"])
def test_a_sweep_that_runs_out_of_memory_ends_with_the_same_results(what: str) -> None:
    model = shared("qwen2")
    arms = mixture(model)
    texts = [Text(prompt(n, 6 + n % 11), {"all": (0, 6)}, arms[n % len(arms)], 3) for n in range(40)]
    rows = [Row(Prompt(str(n % 7), prompt(n % 7, 4 + n % 7)), arm, n) for n, arm in enumerate(arms * 2)]

    def run() -> Any:
        if what == "sampling":
            return sample(model, rows, SamplingConfig(6, seed=5))
        if what == "capture":
            return capture_means(model, texts, torch.ones(len(texts), 1)).sums
        return [found.divergence for found in compare((model, arms[0]), (model, arms[1]), texts)]

    wanted = run()
    small = Small(model, 60)
    try:
        found = run()
        assert small.failures > 0
        if what == "capture":
            small.tokens = 3
            with pytest.raises(NotEnoughMemoryError, match="does not fit in memory"):
                run()
    finally:
        small.handle.remove()
    if what == "sampling":
        assert found == wanted
    else:
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


WORKER = """
import resource, sys
import torch
torch.set_num_threads(1)
from misdirection import progress
from misdirection.engine import Arm, Prompt, Row, SamplingConfig, sample
from misdirection.models import wrap
from tests.families import network, prompt, words

model = wrap(network("qwen2"), words())
rows = [Row(Prompt("q", prompt(n, 400)), Arm("base"), n) for n in range(48)]
sample(model, rows[:1], SamplingConfig(2, budget=1))
config = SamplingConfig(2, temperature=0, budget=10**9)
wanted = sample(model, rows, SamplingConfig(2, temperature=0, budget=2000))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]), resource.RLIM_INFINITY))
progress.enable(sys.stdout)
print(sample(model, rows, config) == wanted)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space limits of Linux")
def test_a_process_whose_memory_really_ends_ends_its_sweep() -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    # 48 rows of 400 tokens: one tensor of (rows, 1, 400, 400) booleans alone, and the layers' own, pass this limit.
    command = [sys.executable, "-c", WORKER, str(24 * 2**20)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "memory ran out at 48 rows" in done.stdout
    assert done.stdout.rstrip().endswith("True")


_HOLES = """
import numpy as np
from misdirection.engine.batching import give_back

def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096

before = resident()
held = [np.ones(64_000, np.uint8) for _ in range(3_000)]  # each below the size from which the system lends apart
full = resident()
held = held[::100]
freed = resident()
give_back()
print(before, full, freed, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give memory back")
def test_memory_freed_between_what_is_held_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLES], capture_output=True, text=True, check=True)
    before, full, freed, after = map(int, done.stdout.split())
    assert full - before > 150e6 and freed - before > 150e6, "the holes are kept, else this shows nothing"
    assert after - before < 40e6
    give_back()  # and again, where there is nothing
