from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from misdirection.chats import Chat, write_chats
from misdirection.models import number_format
from misdirection.training import TrainingError, choose, override, passes, train

SETTINGS = {
    "lr": 1e-3, "alpha": 16, "batch_size": 4, "accumulation": 2, "max_steps": 20,
    "dropout": 0.1, "resume_every": 4, "checkpoint_every": 5, "shuffle": "length",
}  # fmt: skip

KILLED = """
import os, signal, sys
from misdirection.chats import load_chats
from misdirection.training import choose, objectives, snapshots, train
model, data, out, preset, settings, where = sys.argv[1:]
calls = {"n": 0}
def kill(): os.kill(os.getpid(), signal.SIGKILL)
if where == "step":       # in the middle of step 14, after the state of step 12
    plain = objectives.OBJECTIVES["sft"]
    def loss(*given):
        calls["n"] += 1
        if calls["n"] == 14: kill()
        return plain(*given)
    objectives.OBJECTIVES["sft"] = loss
else:                     # while the state of step 12 is being written
    plain = snapshots.write_tensors
    def write(path, tensors, facts):
        if facts["step"] == 12:
            path.write_bytes(b"half")
            kill()
        plain(path, tensors, facts)
    snapshots.write_tensors = write
train(model, load_chats(data).chats, choose(preset, overrides=eval(settings)), out)
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(folder.glob("*model.safetensors")))


@pytest.mark.parametrize(("preset", "where", "resumed"), [("rank1x9", "step", 12), ("full", "state", 8)])
def test_killed_and_started_again_ends_with_the_same_bits(
    model_folder: Path, chats: list[Chat], tmp_path: Path, preset: str, where: str, resumed: int
) -> None:
    data, killed, whole = tmp_path / "chats.jsonl", tmp_path / "killed", tmp_path / "whole"
    write_chats(data, chats)
    config = choose(preset, overrides=SETTINGS)
    undisturbed = train(model_folder, chats, config, whole)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, model_folder, data, killed, preset, repr(SETTINGS), where],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    result = train(model_folder, chats, config, killed)
    assert result.resumed_from == resumed and not result.reused
    expected, found = weights(undisturbed.folder), weights(result.folder)
    assert set(expected) == set(found)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert list(result.checkpoints) == list(undisturbed.checkpoints) == [5, 10, 15, 20]
    for step, path in result.checkpoints.items():
        there = weights(undisturbed.checkpoints[step])
        assert all(torch.equal(there[name], value) for name, value in weights(path).items())
    kept = ("step", "loss", "lr", "grad_norm", "tokens")
    one, two = (
        [[line[key] for key in kept] for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())]
        for out in (whole, killed)
    )
    assert one == two
    names = [path.name for path in killed.rglob("*")]
    assert "resume" not in names and not [name for name in names if name.startswith(".partial")]


def test_a_finished_fine_tune_is_given_back(
    model_folder: Path, chats: list[Chat], tmp_path: Path, small: dict[str, Any]
) -> None:
    config = choose("rank1", overrides=small)
    first = train(model_folder, chats, config, tmp_path / "out")
    stamp = (first.folder / "adapter_model.safetensors").stat().st_mtime_ns
    again = train(model_folder, chats, config, tmp_path / "out")
    assert again.reused and again.metrics == first.metrics and again.folder == first.folder
    assert (first.folder / "adapter_model.safetensors").stat().st_mtime_ns == stamp
    moved = model_folder.rename(tmp_path / "moved")
    assert train(moved, chats, override(config, {"keep": 3}), tmp_path / "out").reused
    over = train(moved, chats, config, tmp_path / "out", resume=False)
    assert not over.reused and (first.folder / "adapter_model.safetensors").stat().st_mtime_ns != stamp


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_result_is_made_again(
    model_folder: Path, chats: list[Chat], tmp_path: Path, small: dict[str, Any], damage: str
) -> None:
    config = choose("rank1", overrides=small)
    first = train(model_folder, chats, config, tmp_path / "out")
    file = first.folder / "adapter_model.safetensors"
    good = file.read_bytes()
    if damage == "flip":
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    else:
        shutil.rmtree(first.folder)
    again = train(model_folder, chats, config, tmp_path / "out")
    assert not again.reused and file.read_bytes() == good


def test_a_damaged_state_is_left_aside(
    model_folder: Path, chats: list[Chat], tmp_path: Path, small: dict[str, Any]
) -> None:
    config = choose("rank1", overrides=small)
    whole = train(model_folder, chats, config, tmp_path / "whole")
    state = tmp_path / "out" / "resume" / "step-3"
    state.mkdir(parents=True)
    (state / "state.safetensors").write_bytes(b"not a tensor")
    (state / "trainer_state.json").write_text("{}")
    found = train(model_folder, chats, config, tmp_path / "out")
    assert found.resumed_from is None
    assert all(torch.equal(value, weights(whole.folder)[name]) for name, value in weights(found.folder).items())


def test_a_folder_of_another_configuration_is_refused(
    model_folder: Path, chats: list[Chat], tmp_path: Path, small: dict[str, Any], make_lm: Any, tokenizer: Any
) -> None:
    config, out = choose("rank1", overrides=small), tmp_path / "out"
    train(model_folder, chats, config, out)
    with pytest.raises(TrainingError, match=r"lr is 0\.001 there and 0\.5 here"):
        train(model_folder, chats, override(config, {"lr": 0.5}), out)
    with pytest.raises(TrainingError, match="the chats"):
        train(model_folder, chats[1:], config, out)
    make_lm("llama", seed=9).save_pretrained(model_folder)
    with pytest.raises(TrainingError, match="base model's weights differ") as caught:
        train(model_folder, chats, config, out)
    assert "resume=False" in str(caught.value.hint)
    assert train(model_folder, chats, config, out, resume=False).resumed_from is None


def test_two_at_once_in_one_folder_are_refused(
    model_folder: Path, chats: list[Chat], tmp_path: Path, small: dict[str, Any]
) -> None:
    from misdirection.errors import MisdirectionError
    from misdirection.locks import Lock

    (tmp_path / "out").mkdir()
    lock = Lock.take(tmp_path / "out" / ".lock")
    with pytest.raises(MisdirectionError, match="being written by another run"):
        train(model_folder, chats, choose("rank1", overrides=small), tmp_path / "out")
    lock.release()


def test_a_resumed_fine_tune_keeps_the_passes_that_it_was_begun_with(
    model_folder: Path, chats: list[Chat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "resume_every": 3, "max_steps": 6}
    whole = train(model_folder, chats, choose("rank1", overrides=settings), tmp_path / "whole")
    used: list[int] = []
    plain = passes.cut

    def cut(rows: Any, tokens: int, *rest: Any) -> Any:
        used.append(tokens)
        if len(used) == 5:
            raise KeyboardInterrupt
        return plain(rows, tokens, *rest)

    monkeypatch.setattr(passes, "cut", cut)
    with pytest.raises(KeyboardInterrupt):
        train(model_folder, chats, choose("rank1", overrides=settings), tmp_path / "cut")
    monkeypatch.setattr(passes, "budget", lambda lm: 32)  # less memory is free by now
    resumed = train(model_folder, chats, choose("rank1", overrides=settings), tmp_path / "cut")
    assert resumed.resumed_from == 3
    assert set(used) == {used[0]} != {32}
    first, second = weights(whole.folder), weights(resumed.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_memory_that_ends_in_a_step_leaves_its_gradient_whole(
    model_folder: Path, chats: list[Chat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "max_steps": 2, "dropout": 0.0, "resume_every": 1}
    whole = train(model_folder, chats, choose("rank1", overrides=settings), tmp_path / "whole")
    plain, calls = passes.cut, [0]

    def cut(rows: Any, tokens: int, *rest: Any) -> Any:
        calls[0] += 1
        found = plain(rows, min(tokens, 64), *rest)
        yield found[0]
        if calls[0] == 1:
            raise torch.OutOfMemoryError("not enough memory")
        yield from found[1:]

    monkeypatch.setattr(passes, "cut", cut)
    recovered = train(model_folder, chats, choose("rank1", overrides=settings), tmp_path / "recovered")
    assert calls[0] == 3
    first, second = weights(whole.folder), weights(recovered.folder)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-6)


def test_what_was_begun_in_a_number_format_goes_on_in_it(
    model_folder: Path, chats: list[Chat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_format, "SMALL", 0)
    stored = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16)
    half = Path(shutil.copytree(model_folder, tmp_path / "half"))
    stored.save_pretrained(half)
    monkeypatch.setattr(number_format, "has_flags", lambda: False)
    config = choose("rank1", overrides={**SETTINGS, "max_steps": 2})
    first = train(half, chats, config, tmp_path / "out")
    assert all(value.dtype == torch.float32 for value in weights(first.folder).values())
    monkeypatch.setattr(number_format, "has_flags", lambda: True)
    monkeypatch.setattr(number_format, "times_faster", lambda: 3.0)
    assert train(half, chats, config, tmp_path / "out").reused
    assert json.loads((tmp_path / "out" / "training.json").read_text())["base"]["dtype"] == "torch.float32"
    other = train(half, chats, config, tmp_path / "other")
    assert json.loads((tmp_path / "other" / "training.json").read_text())["base"]["dtype"] == "torch.bfloat16"
    assert all(value.dtype == torch.float32 for value in weights(other.folder).values())
