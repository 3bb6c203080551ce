"""Tasks elsewhere: the same steps bit for bit, a killed worker's done again, errors of one that leave the others."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.executing.work import Product, always_killed, killed_once, product, refused

from misdirection import progress
from misdirection.errors import MisdirectionError
from misdirection.executing import find_executor, read_where
from misdirection.executing.on_ray import STARTS, _connect
from misdirection.runs import Run, read_log
from misdirection.store.task import Executor

SLURM = "slurm:?cluster=local&jobs=2"


@pytest.fixture(scope="module", params=["ray", "slurm"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Two workers of each kind: actors of a cluster that is started for these tests, processes of submitit's."""
    if request.param == "slurm":
        yield pytest.importorskip("submitit") and _ready(SLURM)
        return
    ray = pytest.importorskip("ray")
    yield _ready("ray://local?workers=2&cpus=0.5")
    ray.shutdown()


def _ready(where: str) -> Executor:
    found = find_executor(where)
    assert found is not None
    return found


def steps_of(run: Run) -> dict[str, str]:
    return {step.key: step.content for step in run.steps()}


def test_the_steps_are_those_of_one_process_bit_for_bit(tmp_path: Path, elsewhere: Executor) -> None:
    calls = [{"seed": seed} for seed in (3, 1, 2, 1)]
    with Run.open(tmp_path / "here", {}) as run:
        here = run.cached_many(product, calls=calls)
        ours = steps_of(run)
    with Run.open(tmp_path / "there", {}) as run:
        there = run.cached_many(product, calls=calls, on=elsewhere)
        assert steps_of(run) == ours
        assert len(ours) == 3, "equal calls are one step"
        for one, other in zip(here, there, strict=True):
            assert torch.equal(one.value.sums, other.value.sums)
            assert one.value.threads == other.value.threads
        assert [line["reused"] for line in read_log(run.path)].count(False) == 3
        again = run.cached_many(product, calls=calls, on=elsewhere)
        assert all(step.reused for step in again)
    with Run.open(tmp_path / "there", {}) as run:
        assert all(step.reused for step in run.cached_many(product, calls=calls)), "the key knows nothing of the place"


def test_a_killed_worker_loses_nothing(tmp_path: Path, elsewhere: Executor) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        calls: list[dict[str, Any]] = [{"seed": seed, "marks": tmp_path} for seed in range(2)]
        found = [step.value for step in run.cached_many(killed_once, calls=calls, on=elsewhere)]
    assert found == [["from the start"], ["goes on from what was kept"]]
    assert len((tmp_path / "tries-1").read_text()) == 2
    assert not any((tmp_path / "run" / "work").glob("killed-once-*")), "the workspace goes when the step is whole"


def test_one_bad_task_is_told_when_the_others_are_done(tmp_path: Path, elsewhere: Executor) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        with pytest.raises(MisdirectionError, match="seed 1 is no good") as caught:
            run.cached_many(refused, calls=[{"seed": seed} for seed in range(3)], on=elsewhere)
        assert caught.value.hint == "take another"
        assert len(run.steps()) == 2


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up(tmp_path: Path, elsewhere: Executor) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        with pytest.raises(MisdirectionError, match="4 times"):
            run.cached_many(always_killed, calls=[{"seed": 0}], on=elsewhere)
        assert run.steps() == []


class Counting:
    """An executor of somebody else's: tasks one after the other, in this process, last first."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def perform(self, tasks: Any) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(tasks))):
            self.done.append(tasks[number].call.name)
            yield number, tasks[number].perform()


def test_order_and_place_change_nothing(tmp_path: Path) -> None:
    counting = Counting()
    with Run.open(tmp_path / "run", {}) as run:
        first = run.cached(product, seed=2)
        found = run.cached_many(product, calls=[{"seed": seed} for seed in (1, 2, 3)], on=counting)
        assert counting.done == ["product"] * 2, "what is there is not sent"
        assert [one.value.seed for one in found] == [1, 2, 3]
        assert [one.reused for one in found] == [False, True, False]
        assert found[1].key == first.key
        assert isinstance(found[0].value, Product)


def test_a_machine_that_does_not_see_the_run_says_so(tmp_path: Path) -> None:
    class Blind(Counting):
        def perform(self, tasks: Any) -> Iterator[tuple[int, Any]]:
            from dataclasses import replace

            yield 0, replace(tasks[0], folder=tmp_path / "nowhere" / "steps" / "x").perform()

    with Run.open(tmp_path / "run", {}) as run, pytest.raises(MisdirectionError, match="does not see") as caught:
        run.cached_many(product, calls=[{"seed": 1}], on=Blind())
    assert "share" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("ray", "no place is named"),
        ("rya://local", "no executor is called 'rya'"),
        ("ray://local?gpu=1", "'gpu' is no option"),
        ("ray://local?gpus=many", "could not convert"),
        ("slurm:gpu?cluster=local&timeout=5", "timeout"),
    ],
)
def test_a_bad_place_is_refused(where: str, told: str) -> None:
    with pytest.raises(MisdirectionError, match=told):
        find_executor(where)


class Slow:
    """Stands for the module `ray` on a machine where its processes come up at the n-th start only."""

    def __init__(self, comes_up_at: int) -> None:
        self.comes_up_at, self.told = comes_up_at, list[str]()

    def init(self, address: str, **_: Any) -> None:
        self.told.append(f"init {address}")
        if self.told.count(f"init {address}") < self.comes_up_at:
            # A bare one, as `ray._private.node` raises it after its 30 seconds.
            raise Exception("The current node timed out during startup.")

    def shutdown(self) -> None:
        self.told.append("shutdown")


def test_a_ray_that_comes_up_late_is_started_again_and_a_cluster_that_is_not_there_is_said_at_once() -> None:
    _connect(late := Slow(3), "local")
    assert late.told == ["init local", "shutdown", "init local", "shutdown", "init local"]
    with pytest.raises(MisdirectionError, match=r"Ray cannot be reached .The current node timed out"):
        _connect(never := Slow(99), "local")
    assert never.told == ["init local", "shutdown"] * STARTS, "nothing of it is left running"
    with pytest.raises(MisdirectionError, match="ray://head:10001: Ray cannot be reached"):
        _connect(away := Slow(99), "head:10001")
    assert away.told == ["init ray://head:10001", "shutdown"]


def test_this_process_is_the_default() -> None:
    assert find_executor("") is None
    assert read_where("slurm:gpu?timeout_min=5")[1:] == ("gpu", {"timeout_min": "5"})


def test_progress_names_the_machine(tmp_path: Path, elsewhere: Executor) -> None:
    progress.enable(said := io.StringIO())
    try:
        with Run.open(tmp_path / "run", {}) as run:
            run.cached_many(product, calls=[{"seed": 1}, {"seed": 2}], on=elsewhere)
    finally:
        progress.disable()
    assert "product: 2 of 2 done" in said.getvalue()
    assert socket.gethostname() in said.getvalue()
