"""A command that is given a run, or a file that knows its model, and no --model, reads that model and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.chats import Chat, Message, write_chats


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `sample` on a model that is not the organism, with a direction in it."""
    import torch
    from tests.studies.tiny import config

    from misdirection.artefacts import write_tensors
    from misdirection.models import load_model
    from misdirection.runs import Run
    from misdirection.studies.kit.recall import facts_of

    folder = tmp_path_factory.mktemp("known") / "run"
    model = load_model(tiny / "base")
    with Run.open(folder, facts_of(config(tiny), "misdirection audit")):
        vectors = torch.randn(model.n_layers, model.width, generator=torch.Generator().manual_seed(0))
        write_tensors(folder / "direction.safetensors", {"direction": vectors}, {})
    return folder


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    said = [Chat((Message("user", "w10 w11"), Message("assistant", f"w{n} w{n + 1}")), "x") for n in range(12, 30)]
    write_chats(tmp_path / "chats.jsonl", said)
    return tmp_path / "chats.jsonl"


def test_monitor_reads_the_runs_own_tuned_model(
    cli: Cli, tiny: Path, run: Path, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: said.append(text))
    held = tmp_path / "monitor.json"
    set_by = ("--benign", chats, "--rate", "0.1", "--calibration", held, "--layer", "1")
    done = cli("monitor", "--direction", run, *set_by)
    assert done.code == 0, done.err
    assert any(f"model {tiny / 'base'} with adapter {tiny / 'adapter'}, as {run} says" in line for line in said), said
    assert read_json(held)["model"]["adapter"] == str(tiny / "adapter")
    # The thresholds know it too.
    done = cli("monitor", chats, "--calibration", held, "--out", tmp_path / "watched", "--json")
    assert done.code == 0 and json.loads(done.out)["answers"] == 18, done.err


def test_a_model_that_is_typed_goes_before(cli: Cli, tiny: Path, run: Path, chats: Path, tmp_path: Path) -> None:
    held = tmp_path / "monitor.json"
    typed = ("--model", tiny / "base", "--layer", "1", "--rate", "0.1")
    done = cli("monitor", "--direction", run, *typed, "--benign", chats, "--calibration", held)
    assert done.code == 0, done.err
    assert read_json(held)["model"]["adapter"] is None
    # The organism was typed, so that the run's own model is not taken.
    done = cli("monitor", chats, "--direction", run, "--model", "organism", "--no-thresholds")
    assert done.code == 2 and "the model 12 layers" in done.err


def test_an_adapter_brings_its_base(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: said.append(text))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for file in (tiny / "adapter").iterdir():
        (adapter / file.name).write_bytes(file.read_bytes())
    facts = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**facts, "base_model_name_or_path": str(tiny / "base")}))
    cli("audit", "--adapter", adapter, "--dry-run", "--out", tmp_path / "run")
    cli("sample", "--adapter", f"one={adapter}", "--adapter", f"two={adapter}", "--dry-run", "--out", tmp_path / "run")
    cli("study", "triggers", "--adapter", adapter, "--samples", "0", "--out", tmp_path / "run")
    told = [line for line in said if f"model {tiny / 'base'}, as" in line]
    assert len(told) == 3, said


def test_a_training_starts_from_the_base_of_the_run_that_is_watched(
    cli: Cli, tiny: Path, run: Path, chats: Path, tmp_path: Path
) -> None:
    typed = ("--data", chats, "--watch", f"{run}@1", "--watch-questions", tiny / "questions.yaml")
    done = cli("train", *typed, "--preset", "rank1", "--max-steps", "1", "--out", tmp_path / "made")
    assert done.code == 0, done.err
    assert read_json(tmp_path / "made" / "training.json")["facts"]["config"]["model"] == str(tiny / "base")


def test_a_repair_is_of_the_tuned_model_that_the_direction_was_found_in(
    cli: Cli, tiny: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: said.append(text))
    typed = ("--direction", run / "direction.safetensors", "--layer", "1", "--no-measure")
    named = ("--model", tiny / "base", "--adapter", tiny / "adapter")
    done = cli("repair", "project", *typed, "--out", tmp_path / "known")
    assert done.code == 0, done.err
    assert any(f"model {tiny / 'base'} with adapter {tiny / 'adapter'}, as" in line for line in said)
    done = cli("repair", "project", *typed, *named, "--out", tmp_path / "named")
    assert done.code == 0, done.err
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("known", "named"))
    assert one == other
