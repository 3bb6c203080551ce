"""Whose model a run, an adapter, a direction or a calibration is of; what knows none, and what knows two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies import tiny as tiny_subject

from misdirection.artefacts import write_json, write_tensors
from misdirection.errors import MisdirectionError
from misdirection.organism import checkpoint_path
from misdirection.runs import Run
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.kit.known_model import Known, known_model, known_of, one_of
from misdirection.studies.kit.recall import facts_of


def run_of(folder: Path, config: AuditConfig) -> Path:
    with Run.open(folder, facts_of(config, "misdirection audit")):
        return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    return tiny_subject.make(tmp_path / "tiny")


def adapter_of(folder: Path, base: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base)}))
    return folder


def test_a_run_knows_its_model_and_its_adapter(tmp_path: Path, base: Path) -> None:
    config = AuditConfig(model=str(base / "base"), adapter=str(base / "adapter"))
    run = run_of(tmp_path / "run", config)
    known = Known(str(base / "base"), str(run), str(base / "adapter"))
    assert known_model(str(run)) == known
    assert known_model(f"mine={run}@3") == known
    write_tensors(run / "steps" / "direction-1" / "direction.safetensors", {}, {"model": "elsewhere/model"})
    (run / "direction.safetensors").symlink_to(run / "steps" / "direction-1" / "direction.safetensors")
    inside = known_model(str(run / "direction.safetensors"))
    assert inside == replace(known, source=str(run / "direction.safetensors"))
    whole = run_of(tmp_path / "whole", AuditConfig(model=str(base / "base"), tuned=str(base / "whole")))
    held = known_model(str(whole))
    assert held is not None and held.as_tuned.model == str(base / "whole") and held.model == str(base / "base")


def test_a_fine_tune_of_the_run_itself_counts(tmp_path: Path, base: Path) -> None:
    run = run_of(tmp_path / "run", AuditConfig(model=str(base / "base"), data=("x.jsonl",)))
    adapter_of(run / "adapter", base / "base")
    assert known_model(str(run)) == Known(str(base / "base"), str(run), str(run / "adapter"))


def test_an_adapter_knows_the_base_that_is_there(tmp_path: Path, base: Path) -> None:
    there = adapter_of(tmp_path / "there", base / "base")
    assert known_model(str(there)) == Known(str(base / "base"), str(there))
    assert known_model(str(adapter_of(tmp_path / "id", "Qwen/Qwen2.5-7B-Instruct"))) == Known(
        "Qwen/Qwen2.5-7B-Instruct", str(tmp_path / "id")
    )
    assert known_model(str(adapter_of(tmp_path / "gone", "/nowhere/base"))) is None
    # The organism is the one that is installed, wherever the adapter was trained.
    moved = Path("/other/site-packages").joinpath(*checkpoint_path().parts[-3:])
    assert known_model(str(adapter_of(tmp_path / "ours", moved))) == Known("organism", str(tmp_path / "ours"))
    states = tmp_path / "states"
    adapter_of(states / "checkpoint-10", base / "base")
    assert known_model(str(states)) == Known(str(base / "base"), str(states))


def test_a_direction_and_a_calibration_say_of_what_they_are(tmp_path: Path, base: Path) -> None:
    write_tensors(tmp_path / "d.safetensors", {}, {"model": str(base / "base")})
    assert known_model(str(tmp_path / "d.safetensors")) == Known(str(base / "base"), str(tmp_path / "d.safetensors"))
    write_json(tmp_path / "monitor.json", {"model": {"name": str(base / "base"), "adapter": "a/b"}})
    assert known_model(str(tmp_path / "monitor.json")) == Known(
        str(base / "base"), str(tmp_path / "monitor.json"), "a/b"
    )


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"{}", b"[1]", (2**62).to_bytes(8, "little") + b"{}"])
def test_what_knows_nothing_is_no_error(tmp_path: Path, content: bytes) -> None:
    for name in ("x.safetensors", "x.json", "x.npz", "adapter_config.json"):
        (tmp_path / name).write_bytes(content)
        assert known_model(str(tmp_path / name)) is None
    assert known_model(str(tmp_path)) is None and known_model("nothing-here") is None and known_of({}) is None


def test_things_of_two_models_are_refused_and_two_adapters_mean_the_base(tmp_path: Path, base: Path) -> None:
    model, other = str(base / "base"), str(base / "whole")
    one = run_of(tmp_path / "one", AuditConfig(model=model, adapter="./a"))
    two = run_of(tmp_path / "two", AuditConfig(model=model, adapter="./b"))
    third = run_of(tmp_path / "third", AuditConfig(model=other))
    assert one_of([str(one), str(two)]) == Known(model, str(one))
    with pytest.raises(MisdirectionError, match="third of") as caught:
        one_of([str(one), str(third)])
    assert caught.value.hint is not None and "--model" in caught.value.hint
    # What was tuned says more than what it is compared with.
    found = known_of({"direction": str(third), "adapter": str(adapter_of(tmp_path / "ad", model))})
    assert found == Known(model, str(tmp_path / "ad"))
