"""Adapters beside each other on one base, and those that are refused."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.families import LAYERS, WIDTH, network, prompt, words
from tests.models.adapter_folders import adapter_folder, edit

from misdirection.engine import Arm, Text, capture_projections
from misdirection.models import (
    AdapterMismatchError,
    Model,
    ModelError,
    add_adapter,
    load_model,
    wrap,
)

BASE = Arm("base")


def logits(model: Model, arm: Arm) -> torch.Tensor:
    eye = {LAYERS - 1: torch.eye(WIDTH)}
    return capture_projections(model, [Text(prompt(0, 9), {}, arm)], eye)[0][LAYERS - 1]


def test_adapters_load_beside_each_other_and_equal_pefts_own(saved: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    one = adapter_folder(tmp_path / "one", r=1, target_modules=["down_proj"], layers_to_transform=[1, 2])
    two = adapter_folder(tmp_path / "two", r=32, target_modules="all-linear", use_rslora=True, lora_alpha=3)
    bare = load_model(saved)
    wanted = {None: logits(bare, BASE)}
    model = load_model(saved, adapters={"two": two, "one": one})
    assert model.adapters == ("two", "one")
    assert {name: len(model.lora[name]) for name in model.adapters} == {"two": 28, "one": 2}
    assert model.facts["adapters"]["one"] == {"path": str(one), "trained_on": "tiny-llama"}
    assert model.facts["warnings"] == []
    assert not any(parameter.requires_grad for parameter in model.lm.parameters())
    for name, folder in (("one", one), ("two", two)):
        peft = PeftModel.from_pretrained(network("llama"), folder)
        merged = wrap(peft.merge_and_unload(), words())
        wanted[name] = logits(merged, BASE)
    for name, states in wanted.items():
        torch.testing.assert_close(logits(model, Arm("x", name)), states, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(wanted["one"], wanted["two"], atol=0.1)


def test_loading_shows_no_warnings_of_other_libraries(saved: Path, tmp_path: Path) -> None:
    adapter = adapter_folder(tmp_path / "one")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(saved, adapters={"one": adapter})


def test_an_adapter_that_names_another_base_leaves_a_warning(saved: Path, tmp_path: Path) -> None:
    model = load_model(saved)
    add_adapter(model, "a", adapter_folder(tmp_path / "a", base="someone/Tiny-Llama"))
    assert model.facts["warnings"] == []
    add_adapter(model, "b", adapter_folder(tmp_path / "b", base="someone/other-model"))
    assert model.facts["warnings"] == [f"adapter 'b' names the base someone/other-model; it is used on {saved}"]


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()


def with_bias(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    save_file(load_file(file) | {"base_model.model.lm_head.weight": torch.zeros(2)}, file)


def cut(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])


def configured(**change: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "adapter_config.json", lambda config: config.update(change))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shutil.rmtree, "holds no PEFT adapter"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "holds no PEFT adapter"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "holds no PEFT adapter"),
        (pickled, "holds no PEFT adapter"),
        (cut, "cannot be loaded: it is cut off"),
        (with_bias, "holds base_model.model.lm_head.weight, so it is more than a plain LoRA adapter"),
        (configured(use_dora=True), "no plain LoRA adapter.*use_dora"),
        (configured(bias="all"), "no plain LoRA adapter.*bias"),
        (configured(lora_bias=True), "no plain LoRA adapter.*lora_bias"),
        (configured(modules_to_save=["lm_head"]), "no plain LoRA adapter.*modules_to_save"),
        (configured(target_parameters=["mlp.experts.down_proj"]), "no plain LoRA adapter.*target_parameters"),
        (configured(init_lora_weights="pissa_niter_4"), "no plain LoRA adapter.*pissa"),
        (configured(peft_type="IA3"), "no plain LoRA adapter"),
    ],
)
def test_what_is_no_plain_lora_adapter_is_refused(
    saved: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    folder = adapter_folder(tmp_path / "adapter")
    harm(folder)
    model = load_model(saved)
    with pytest.raises(ModelError, match=f"(?s)adapter 'a'.*{said}"):
        add_adapter(model, "a", folder)
    assert model.adapters == ()
    assert model.peft is None
    torch.testing.assert_close(logits(model, BASE), logits(wrap(network("llama"), words()), BASE), rtol=0, atol=0)


def test_a_name_can_be_taken_once(saved: Path, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter")
    model = load_model(saved, adapters={"a": folder})
    with pytest.raises(ModelError, match="an adapter called 'a' already"):
        add_adapter(model, "a", folder)


def test_an_adapter_for_another_base_is_refused_and_leaves_the_model_as_it_was(saved: Path, tmp_path: Path) -> None:
    wider = tmp_path / "wider"
    shutil.copytree(adapter_folder(tmp_path / "adapter"), wider)
    file = wider / "adapter_model.safetensors"
    save_file(
        {key: torch.zeros(len(v), 2 * v.shape[1]) if "lora_A" in key else v for key, v in load_file(file).items()}, file
    )
    model = load_model(saved)
    with pytest.raises(AdapterMismatchError, match=r"of shape \(4, \d+\) where the model has \(4, \d+\)"):
        add_adapter(model, "a", wider)
    neox = adapter_folder(tmp_path / "neox", "gpt-neox", target_modules=["dense_4h_to_h"])
    with pytest.raises(AdapterMismatchError, match=r"dense_4h_to_h(?s:.)*not found"):
        add_adapter(model, "a", neox)
    assert model.adapters == ()
    assert not any("lora" in name for name, _ in model.lm.named_modules())


def test_an_adapter_that_cannot_be_reached(saved: Path) -> None:
    with pytest.raises(ModelError, match="nobody/no-such-adapter holds no PEFT adapter"):
        load_model(saved, adapters={"a": "nobody/no-such-adapter"})


# Real input
