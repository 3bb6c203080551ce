"""Adapters of experts, fused parameters, heads and embeddings: in effect, or refused with the way that is right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.families import network, prompt, words
from tests.models.lora_files import FILE, Tensors, configure, logits, made, rewrite
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from misdirection.models import ModelError, add_adapter, load_model, wrap


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("adapters") / "right", network("llama"))


EXPERTS = {
    "mixtral": ("block_sparse_moe", ("w1", "w3", "w2")),
    "qwen3_moe": ("mlp", ("gate_proj", "up_proj", "down_proj")),
    "qwen2_moe": ("mlp", ("gate_proj", "up_proj", "down_proj")),
}


def of_single_experts(kind: str, folder: Path) -> Tensor:
    """A base with fused experts and an older adapter of each expert; the logits of base and adapter put together."""
    from transformers import CONFIG_MAPPING

    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=2, num_experts_per_tok=1, bos_token_id=2, eos_token_id=1,
        moe_intermediate_size=48, num_experts=2, shared_expert_intermediate_size=16, tie_word_embeddings=False,
    )  # fmt: skip
    lm: Any = AutoModelForCausalLM.from_config(config).float().eval()
    held = dict(lm.named_parameters())
    for name, value in held.items():
        if "experts" in name:
            nn.init.normal_(value, std=0.25)
    lm.save_pretrained(folder / "base")
    words().save_pretrained(folder / "base")
    inside, (gate, up, down) = EXPERTS[kind]
    tensors: Tensors = {}

    def added(path: str, into: int, out: int) -> Tensor:
        a, b = torch.randn(4, into) * 0.1, torch.randn(out, 4) * 0.1
        tensors[f"base_model.model.{path}.lora_A.weight"], tensors[f"base_model.model.{path}.lora_B.weight"] = a, b
        return 2 * b @ a

    with torch.no_grad():
        for layer in range(2):
            front = f"model.layers.{layer}.{inside}"
            for expert in range(2):
                parts = [added(f"{front}.experts.{expert}.{name}", 32, 48) for name in (gate, up)]
                held[f"model.layers.{layer}.mlp.experts.gate_up_proj"][expert] += torch.cat(parts)
                last = added(f"{front}.experts.{expert}.{down}", 48, 32)
                held[f"model.layers.{layer}.mlp.experts.down_proj"][expert] += last
            if kind == "qwen2_moe":
                for name, (into, out) in {gate: (32, 16), up: (32, 16), down: (16, 32)}.items():
                    shared = f"model.layers.{layer}.mlp.shared_expert.{name}"
                    held[f"{shared}.weight"] += added(shared, into, out)
    made(folder / "adapter", AutoModelForCausalLM.from_config(config), target_modules=["q_proj"], lora_alpha=8)
    rewrite(folder / "adapter", lambda _: tensors)
    configure(folder / "adapter", target_modules=[gate, up, down])
    return logits(wrap(lm, words()))


def run_hint(hint: str, where: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The logits of what a hint's command leaves."""
    monkeypatch.chdir(where)
    exec(hint.partition('python -c "')[2].rstrip('"'), {})
    return logits(load_model(where / "MERGED"))


@pytest.mark.parametrize("kind", EXPERTS)
def test_older_adapters_of_single_experts_are_refused_with_the_way_that_is_right(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT turns them into adapters of fused parameters, which would act on every row of a batch."""
    wanted = of_single_experts(kind, tmp_path)
    model = load_model(tmp_path / "base")
    bare = logits(model)
    with pytest.raises(ModelError) as error:
        add_adapter(model, "tuned", tmp_path / "adapter")
    assert torch.equal(logits(model), bare) and not torch.allclose(wanted, bare, atol=0.01)
    if kind == "qwen2_moe":
        # PEFT 0.21 takes the shared expert's matrices for the experts' own: merging with it would be wrong.
        assert "one by one" in str(error.value.hint) and "transformers 4" in str(error.value.hint)
    else:
        assert "fused experts" in str(error.value)
        found = run_hint(str(error.value.hint), tmp_path, monkeypatch)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_an_adapter_of_fused_parameters_is_refused_with_the_command_that_merges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_single_experts("qwen3_moe", tmp_path)
    base = tmp_path / "base"
    settings = {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.down_proj"]}
    folder = made(tmp_path / "parameters", AutoModelForCausalLM.from_pretrained(base), **settings)
    with torch.no_grad():
        lm: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
        wanted = lm(torch.tensor([prompt(0, 9)])).logits
    with pytest.raises(ModelError, match="target_parameters") as error:
        add_adapter(load_model(base), "tuned", folder)
    torch.testing.assert_close(run_hint(str(error.value.hint), tmp_path, monkeypatch), wanted, rtol=0, atol=1e-4)


def of_the_head(folder: Path, change: float = 0.0, dtype: torch.dtype = torch.float32) -> Path:
    """An adapter on the head, beside which PEFT saves the head itself."""
    lm = network("llama")
    with torch.no_grad():
        lm.get_output_embeddings().weight.add_(change)  # type: ignore[union-attr, operator, arg-type]
    made(folder, lm, target_modules=["lm_head", "q_proj"])
    held = load_file(folder / FILE)
    assert any(key.endswith("lm_head.base_layer.weight") for key in held)
    save_file({key: value.to(dtype) if "base_layer" in key else value for key, value in held.items()}, folder / FILE)
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_saved_beside_its_adapter_passes_where_it_is_the_bases(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = of_the_head(tmp_path / "adapter", dtype=dtype)
    lm = network("llama")
    before = lm.get_output_embeddings().weight.clone()  # type: ignore[union-attr, operator]
    model = wrap(lm, words(), "tiny")
    add_adapter(model, "tuned", folder)
    if dtype == torch.float32:
        wanted = PeftModel.from_pretrained(network("llama"), folder).eval()
        with torch.no_grad():
            assert torch.equal(logits(model), wanted(torch.tensor([prompt(0, 9)])).logits)
    head: Any = model.lm.get_output_embeddings()
    assert torch.equal(head.base_layer.weight, before), "a rounded copy must not go into the base"


def test_a_head_that_was_trained_beside_its_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"lm_head\.base_layer.weight, so it is more than a plain LoRA adapter"):
        add_adapter(wrap(network("llama"), words(), "tiny"), "tuned", of_the_head(tmp_path / "adapter", 0.01))


def test_embeddings_saved_beside_an_adapter_pass_where_they_are_the_bases(tmp_path: Path, right: Path) -> None:
    folder = Path(shutil.copytree(right, tmp_path / "adapter"))
    lm = network("llama")
    words_of = lm.get_input_embeddings().weight.detach().clone()  # type: ignore[operator]
    rewrite(folder, lambda held: {**held, "base_model.model.model.embed_tokens.weight": words_of})
    model = wrap(lm, words(), "tiny")
    add_adapter(model, "tuned", folder)
    assert torch.equal(logits(model), logits(wrap(PeftModel.from_pretrained(network("llama"), right), words())))  # type: ignore[arg-type]
    rewrite(folder, lambda held: {**held, "base_model.model.model.embed_tokens.weight": words_of + 1e-3})
    with pytest.raises(ModelError, match="more than a plain LoRA adapter"):
        add_adapter(model, "trained", folder)
