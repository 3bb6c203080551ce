"""Adapters that rows cannot switch: merged beside their base they give PEFT's own logits, or are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, OFTConfig, PeftModel, VeraConfig, get_peft_model
from tests.families import network, prompt, words
from tests.models.lora_files import Tensors, configure, logits, made, only, rewrite
from tests.models.test_in_effect_experts import EXPERTS, of_single_experts
from torch import Tensor, nn

from misdirection.models import AdapterMismatchError, ModelError, load_merged, load_model, needs_merging

SOME = ["q_proj", "down_proj"]
KINDS: dict[str, Any] = {
    "dora": LoraConfig(r=4, target_modules=SOME, use_dora=True),
    "bias": LoraConfig(r=4, target_modules=SOME, bias="lora_only"),
    "head": LoraConfig(r=4, target_modules=SOME, modules_to_save=["lm_head"]),
    "parameters": LoraConfig(r=4, target_modules=SOME, target_parameters=["mlp.gate_proj.weight"]),
    "ia3": IA3Config(target_modules=SOME, feedforward_modules=["down_proj"]),
    "loha": LoHaConfig(r=4, target_modules=SOME),
    "vera": VeraConfig(r=4, target_modules=["q_proj"]),
    "oft": OFTConfig(oft_block_size=8, target_modules=["q_proj"]),
}


def saved(folder: Path, config: Any, family: str = "llama") -> tuple[Path, Path]:
    """A base and an adapter of a kind on it, its parameters moved from where they begin."""
    base, adapter = folder / "base", folder / "adapter"
    network(family).save_pretrained(base)
    words().save_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(network(family), config)
        torch.manual_seed(3)
        for name, values in peft.named_parameters():
            if values.requires_grad:
                nn.init.normal_(values, float(values.mean()), 0.1) if "magnitude" not in name else values.data.mul_(1.3)
        peft.save_pretrained(adapter)
    return base, adapter


def pefts(base: Path, adapter: Path) -> Tensor:
    """The logits of PEFT's own forward pass, the adapter beside the base."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lm: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter)).eval()
        return lm(torch.tensor([prompt(0, 9)])).logits


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_pefts_logits(tmp_path: Path, kind: str) -> None:
    base, adapter = saved(tmp_path, KINDS[kind], "qwen2-window" if kind == "bias" else "llama")
    assert needs_merging(adapter)
    model = load_merged(base, adapter, dtype="float32")
    wanted, bare = pefts(base, adapter), logits(load_model(base))
    assert float((wanted - bare).abs().max()) > 0.01, "the adapter must do something"
    torch.testing.assert_close(logits(model), wanted, rtol=1e-4, atol=1e-4)
    assert not model.adapters and model.peft is None
    assert model.facts["merged"]["effect"] == pytest.approx(1.0, abs=0.01)
    assert any("second" in warning for warning in model.facts["warnings"])


@pytest.mark.parametrize("kind", EXPERTS)
def test_older_adapters_of_single_experts(tmp_path: Path, kind: str) -> None:
    wanted = of_single_experts(kind, tmp_path)
    assert needs_merging(tmp_path / "adapter")
    if kind == "qwen2_moe":  # PEFT 0.21 takes the shared expert's matrices for the experts' own
        with pytest.raises(ModelError, match=r"wholly in effect|does not fit"):
            load_merged(tmp_path / "base", tmp_path / "adapter")
    else:
        found = logits(load_merged(tmp_path / "base", tmp_path / "adapter", dtype="float32"))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_plain_adapters_and_what_cannot_be_read_go_the_ordinary_way(tmp_path: Path) -> None:
    right = made(tmp_path / "right", network("llama"))
    assert not needs_merging(right) and not needs_merging(tmp_path) and not needs_merging(tmp_path / "nowhere")
    configure(right, init_lora_weights="pissa")
    assert not needs_merging(right), "merging it into the released base would be wrong"
    (right / "adapter_config.json").write_text("{")
    assert not needs_merging(right)


def test_a_damaged_adapter_is_named_where_it_is_loaded(tmp_path: Path) -> None:
    """It ended `sample --adapter` in a stack trace, before the loader could say which file it is."""
    base, adapter = saved(tmp_path, LoraConfig(target_modules=["q_proj"]))
    (adapter / "adapter_model.safetensors").write_bytes(bytes(range(100, 200)))
    assert not needs_merging(adapter)
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors cannot be loaded: it is damaged"):
        load_model(base, adapters={"tuned": adapter})


def test_half_of_an_adapter_is_refused(tmp_path: Path) -> None:
    base, adapter = saved(tmp_path, KINDS["loha"])
    rewrite(adapter, only(lambda key: "down_proj" in key))
    with pytest.raises(AdapterMismatchError, match="wholly in effect"):
        load_merged(base, adapter)


def test_another_base_is_refused(tmp_path: Path) -> None:
    _, adapter = saved(tmp_path, KINDS["dora"])
    other = tmp_path / "other"
    network("gpt-neox").save_pretrained(other)
    words().save_pretrained(other)
    with pytest.raises(AdapterMismatchError, match="does not fit"):
        load_merged(other, adapter)


def test_a_head_on_tied_weights_is_refused(tmp_path: Path) -> None:
    base, adapter = saved(
        tmp_path, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]), "qwen2-window"
    )
    with pytest.raises(ModelError, match="modules_to_save"):
        load_merged(base, adapter)


def test_one_that_was_never_trained_changes_nothing(tmp_path: Path) -> None:
    base, adapter = saved(tmp_path, KINDS["dora"])
    rewrite(adapter, lambda held: {key: values * 0 if "lora_B" in key else values for key, values in held.items()})
    lm: Any = network("llama")
    norms = {name: part.weight.detach().norm(dim=1) for name, part in lm.named_modules() if isinstance(part, nn.Linear)}

    def at_rest(held: Tensors) -> Tensors:
        """The magnitudes that training begins with: the norms of the base's rows."""
        parts = {key: key.removeprefix("base_model.model.").partition(".lora_")[0] for key in held}
        return {key: norms[parts[key]].clone() if "magnitude" in key else values for key, values in held.items()}

    rewrite(adapter, at_rest)
    model = load_merged(base, adapter, dtype="float32")
    assert model.facts["changes_nothing"] == [str(adapter)]
    assert any("changes nothing" in warning for warning in model.facts["warnings"])


def test_what_cannot_be_merged_is_said(tmp_path: Path) -> None:
    base, adapter = saved(tmp_path, LoraConfig(r=4, target_modules=SOME, lora_bias=True))
    with pytest.raises(ModelError, match=r"cannot be merged.*no bias"):
        load_merged(base, adapter)
