"""`misdirection repair` as a user runs it, on the organism; what comes out loads with transformers and PEFT alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tests.families import vector
from tests.repair.test_adapters import adapter
from transformers import AutoModelForCausalLM

from misdirection.cli.main import main
from misdirection.directions import Direction, save_direction
from misdirection.organism import checkpoint_path

N_LAYERS, WIDTH = 12, 96
Run = Callable[..., str]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter(Path(checkpoint_path()), tmp_path_factory.mktemp("tuned") / "adapter", 1, r=2, lora_alpha=1)


@pytest.fixture(scope="module")
def direction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("direction") / "direction.safetensors", str(checkpoint_path()))


def written(path: Path, model: str, n_layers: int = N_LAYERS, width: int = WIDTH) -> Path:
    means = vector(2, n_layers, width), vector(3, n_layers, width)
    ones = torch.ones(n_layers)
    save_direction(path, Direction(means[1] - means[0], *means, ones, ones, ones, ones, {"model": model}))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: Any) -> str:
        monkeypatch.setattr(sys, "argv", ["misdirection", "-q", "repair", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return said.out if code == 0 else f"{code}: {said.err}"

    return call


def test_every_method_leaves_what_loads_without_us_and_a_card(
    run: Run, tuned: Path, direction: Path, tmp_path: Path
) -> None:
    both = ("--model", "organism", "--adapter", tuned)
    along = ("--direction", direction, "--layer", 4)
    calls: dict[str, tuple[Any, ...]] = {
        "project": (*both, *along),
        "set": (*both, *along),
        "edit": (*both, *along, "--layers", "3,4"),
        "scale": (*both, "--factor", "3=0", "--factor", "5=0.5"),
        "subtract": (*both, "--bad", tuned, "--strength", 0.5, "--rank", 1),
        "realign": (*both, "--data", "organism:good-finance", "--steps", 2),
        "merge": both,
    }
    for method, words in calls.items():
        out = tmp_path / method
        measuring = () if method in ("project", "scale") else ("--no-measure",)
        said = run(method, *words, "--out", out, *measuring, *(("--json",) if method == "scale" else ()))
        if method == "scale":
            told = json.loads(said)
            assert told["repaired"] == str(out) and told["measured"]["questions"] == 12
            said = f"audit --model organism --adapter {out}"
        else:
            assert f"repaired: {out}" in said, said
        card = (out / "README.md").read_text()
        assert card.startswith("---\nbase_model:") and f"misdirection -q repair {method}" in card
        whole = (out / "config.json").exists()
        lm: Any = AutoModelForCausalLM.from_pretrained(out if whole else checkpoint_path())
        lm = lm if whole else PeftModel.from_pretrained(lm, str(out))
        assert bool(torch.isfinite(lm(input_ids=torch.arange(4, 12)[None]).logits).all())
        assert f"audit --model organism {'--tuned' if whole else '--adapter'} {out}" in said
        assert ("answered greedily before" in card) == (not measuring)
    config = json.loads((tmp_path / "set" / "config.json").read_text())
    assert config["mlp_bias"] and (tmp_path / "project" / "misdirection.json").exists()
    assert json.loads((tmp_path / "subtract" / "adapter_config.json").read_text())["r"] == 1


def test_each_bad_input_has_its_own_error_and_leaves_nothing(
    run: Run, tuned: Path, direction: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    foreign = written(tmp_path / "foreign.safetensors", "Qwen/Qwen2.5-7B-Instruct")
    (tmp_path / "levels.json").write_text(json.dumps({"layers": {str(layer): 0.1 for layer in range(24)}}))
    lost = tmp_path / "lost"
    lost.mkdir()
    for file in tuned.iterdir():
        text = file.read_bytes().replace(str(checkpoint_path()).encode(), b"/nowhere/base")
        (lost / file.name).write_bytes(file.read_bytes() if file.suffix == ".safetensors" else text)
    quantised = tmp_path / "quantised"
    quantised.mkdir()
    for file in Path(checkpoint_path()).iterdir():
        (quantised / file.name).write_bytes(file.read_bytes())
    settings = json.loads((quantised / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (quantised / "config.json").write_text(json.dumps(settings))
    organism = ("--model", "organism")
    along = ("--direction", direction, "--layer", 4)
    nameless = tmp_path / "nameless.npy"
    np.save(nameless, np.ones((12, 96), np.float32))
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("project", *organism, "--direction", foreign, "--layer", 4), "a direction of another base means nothing"),
        (("project", "--model", quantised, *along), "is quantised (bitsandbytes fp4)"),
        (("edit", "--adapter", lost, *along), "belongs to /nowhere/base, which is not here"),
        (("merge", "--model", tuned, "--adapter", tuned), "is an adapter, and not the base"),
        (("set", *organism, *along, "--values", tmp_path / "levels.json"), "numbers for layers 0 to 23 (24 of them)"),
        (("set", *organism, *along, "--value", 1, "--values", direction), "--value and --values are both given"),
        (("project", *organism, "--direction", direction, "--layer", 40), "holds no direction at layer 40"),
        (("project", "--direction", nameless), "no model is named"),
        (("scale", *organism, "--adapter", tuned, "--factor", "3"), "'3' is no LAYER=FACTOR"),
    ]
    for words, said in cases:
        told = run(*words, "--out", out)
        assert told.startswith("2: ") and said in " ".join(told.split()), told
        assert not out.exists() and not list(tmp_path.glob(".out*"))
    assert "nothing is overwritten" in run("merge", *organism, "--adapter", tuned, "--out", lost)
    taken = run("project", *organism, "--direction", foreign, "--layer", 4, "--any-base", "--no-measure", "--out", out)
    assert "note: whether the direction was found in this base was not checked" in taken
