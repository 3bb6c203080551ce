"""A grid on Ray is the grid of one process: fine-tunes, answers and directions of what each worker loads for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from misdirection.artefacts import read_json
from misdirection.executing.on_ray import RayExecutor
from misdirection.runs import MANIFEST, Step, list_steps
from misdirection.store.task import Done, Task
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.convergence.study import convergence
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.scaling.settings import ScalingConfig
from misdirection.studies.scaling.study import scaling
from misdirection.studies.scaling.table import Point, read_table

RAY = "ray://local?workers=2&cpus=0.5"
TINY = ScalingConfig(
    sizes=("1x16",), budgets=(5,), seeds=2, batch=4, alignment_steps=2, steps=2, checkpoint_every=1, samples=1
)
WANTED = {
    f"{domain}-{seed}": FineTune("rank1x9", (f"organism:bad-{domain}",), {"max_steps": 25, "lr": 0.03}, seed)
    for domain, seed in (("medical", 0), ("sport", 1))
}
SMALL = ConvergenceConfig(
    data=("sport=organism:bad-sport", "medical=organism:bad-medical"), presets=("rank32",), samples=3, domain_samples=1,
    questions=("organism:open", "organism:medical"), layers=(5, 6), sweep_samples=1, transfer_samples=1, shuffles=5,
)  # fmt: skip


def made(out: Path, on: str) -> dict[str, str]:
    """Hash of every file of every step, but for those that tell times: of fine-tunes, answers and directions."""
    with Bench[ConvergenceConfig].open(out, replace(SMALL, on=on)) as bench:
        models = bench.fine_tunes(WANTED)
        arms = [BASE, *(Condition(name, name, name) for name in WANTED)]
        asked = bench.ask("open", models, arms)
        found, _ = bench.find_directions(models, asked, list(WANTED))
        assert found, "directions are part of what is compared"
        return hashes(bench.run.steps())


def hashes(steps: Sequence[Step]) -> dict[str, str]:
    return {
        f"{step.name}-{step.key}/{name}": file["sha256"]
        for step in steps
        for name, file in read_json(step.path / MANIFEST)["files"].items()
        if name != "metrics.jsonl"
    }


def test_fine_tunes_and_directions_are_equal_bit_for_bit(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    here = made(tmp_path / "run", "")
    (tmp_path / "run").rename(tmp_path / "here")
    # In a folder of the same name: a direction's file says which adapter it was read from.
    there = made(tmp_path / "run", RAY)
    assert sum(name.endswith("adapter_model.safetensors") for name in here) == len(WANTED)
    assert here == there


def test_checkpoints_grown_tuned_and_asked_elsewhere_are_equal_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    sent: list[str] = []
    perform = RayExecutor.perform

    def counted(self: RayExecutor, tasks: Sequence[Task]) -> Iterator[tuple[int, Done]]:
        sent.extend(task.call.name for task in tasks)
        yield from perform(self, tasks)

    monkeypatch.setattr(RayExecutor, "perform", counted)
    found: dict[str, tuple[dict[str, str], list[Point]]] = {}
    for on in ("", RAY):
        report = scaling(replace(TINY, on=on), tmp_path / "run")
        found[on] = hashes(list_steps(report.parent)), read_table(report.parent / "points.csv", Point)
        (tmp_path / "run").rename(tmp_path / (on[:3] or "here"))
    names = [f"1x16-seed-{seed}-steps-5-{group}-answers" for group in ("domain", "open") for seed in (0, 1)]
    assert sent == ["organisms", "organisms", "train", "train", *names], "all that needs a model is done there"
    assert found[""] == found[RAY]


@pytest.mark.slow
def test_a_whole_study_is_equal(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    found = {}
    for on in ("", RAY):
        convergence(replace(SMALL, on=on), out := tmp_path / (on[:3] or "here"))
        found[on] = read_json(out / "findings.json")
    for part in ("verdict", "convergence", "fine_tunes", "transfer"):
        assert found[""][part] == found[RAY][part]


def test_a_study_without_grids_takes_no_place() -> None:
    assert not hasattr(StudyConfig(), "on")
