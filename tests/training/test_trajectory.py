"""Checkpoints read as paths: against the numbers that were written, and against a real fine-tune's own files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from misdirection.training.trajectory import (
    TrajectoryError,
    checkpoint_folders,
    is_adapter,
    random_adapter,
    read_gradients,
    read_trajectory,
)

MODULES = ("model.layers.10.mlp.down_proj", "model.layers.2.mlp.down_proj", "model.layers.2.self_attn.q_proj")


def write(folder: Path, a: float, b: float, modules: tuple[str, ...] = MODULES) -> Path:
    """An adapter of rank 2 whose A are all `a` and whose B are all `b`, 6 numbers wide, 4 for q_proj."""
    folder.mkdir(parents=True)
    tensors: dict[str, torch.Tensor] = {}
    for module in modules:
        out = 4 if "q_proj" in module else 6
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.full((2, 5), a, dtype=torch.bfloat16)
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.full((out, 2), b, dtype=torch.bfloat16)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for step in (10, 5, 20):
        write(tmp_path / f"step-{step}", a=1.0, b=step / 2)
    return tmp_path


def test_norms_and_paths_are_those_of_the_numbers(folders):
    found = read_trajectory(checkpoint_folders(folders))
    assert found.steps == (5, 10, 20)
    assert [(t.layer, t.module.rsplit(".", 1)[1]) for t in found.tracks] == [
        (2, "down_proj"), (2, "q_proj"), (10, "down_proj")
    ]  # fmt: skip
    assert found.norms("A").tolist() == pytest.approx([30**0.5] * 3)
    assert found.norms("B").tolist() == pytest.approx([step / 2 * 32**0.5 for step in (5, 10, 20)])
    assert found.path("B").shape == (3, 32)
    steps, path = found.from_start()
    assert steps == (0, 5, 10, 20)
    assert not path[0].any() and torch.equal(path[1:], found.path("B"))
    # Four columns of width 6 write to the residual stream; q_proj's are four wide and do not.
    assert found.writing(6).shape == (3, 6, 4)
    assert found.writing(4).shape == (3, 4, 2)
    assert found.writing(7).shape == (3, 7, 0)


def test_checkpoints_of_transformers_are_found_by_their_name(tmp_path):
    for step in (30, 4, 100):
        write(tmp_path / f"checkpoint-{step}", 1.0, 1.0)
    (tmp_path / "checkpoint-best").mkdir()
    assert list(checkpoint_folders(tmp_path)) == [4, 30, 100]
    assert all(is_adapter(path) for path in checkpoint_folders(tmp_path).values())
    shutil.rmtree(tmp_path / "checkpoint-4")
    with pytest.raises(TrajectoryError, match="holds 2 checkpoints"):
        checkpoint_folders(tmp_path)


def test_checkpoints_of_two_fine_tunes_are_refused(folders):
    write(folders / "step-40", 1.0, 1.0, MODULES[:2])
    with pytest.raises(TrajectoryError, match="step-40 does not adapt the same modules"):
        read_trajectory(checkpoint_folders(folders))
    (folders / "step-40" / "adapter_model.safetensors").unlink()
    with pytest.raises(TrajectoryError, match="holds no adapter_model"):
        read_trajectory(checkpoint_folders(folders))


def test_a_random_adapter_keeps_a_and_the_norm_of_every_column_of_b(folders, tmp_path):
    random_adapter(folders / "step-20", tmp_path / "random", seed=1)
    random_adapter(folders / "step-20", tmp_path / "again", seed=1)
    random_adapter(folders / "step-20", tmp_path / "other", seed=2)
    real, drawn, again, other = (
        load_file(path / "adapter_model.safetensors")
        for path in (folders / "step-20", tmp_path / "random", tmp_path / "again", tmp_path / "other")
    )
    for name, values in real.items():
        if "lora_A" in name:
            assert torch.equal(values, drawn[name])
        else:
            assert drawn[name].float().norm(dim=0).tolist() == pytest.approx(
                values.float().norm(dim=0).tolist(), rel=1e-2
            )
            assert not torch.equal(values, drawn[name])
            assert torch.equal(drawn[name], again[name]) and not torch.equal(drawn[name], other[name])
    with pytest.raises(TrajectoryError):
        random_adapter(tmp_path, tmp_path / "none", seed=0)


def test_gradients_of_either_trainer(tmp_path):
    assert read_gradients(tmp_path) == []
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-8").mkdir()
    log = [{"step": 1, "grad_norm": 2.0, "loss": 1.0}, {"step": 4, "grad_norm": 1.5}, {"step": 4, "eval_loss": 3.0}]
    (tmp_path / "checkpoint-4" / "trainer_state.json").write_text(json.dumps({"log_history": log[:1]}))
    (tmp_path / "checkpoint-8" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    assert read_gradients(tmp_path) == [(1, 2.0), (4, 1.5)]
    inner = tmp_path / "checkpoints"
    inner.mkdir()
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "grad_norm": 0.5}\n{"step": 4, "grad_norm": null}\n')
    assert read_gradients(inner) == [(3, 0.5)]
