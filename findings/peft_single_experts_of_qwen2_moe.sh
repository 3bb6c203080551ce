#!/usr/bin/env bash
# Guess:     a LoRA adapter of single experts, as transformers 4 and PEFT wrote it for a Qwen2-MoE, is turned into one of the
#            fused experts of transformers 5 when PEFT loads it, as it is for a Qwen3-MoE.
# Behaviour: for Qwen3-MoE it is, to the last digit. For Qwen2-MoE the adapter loads without an error and does nothing: the
#            logits are the base's own.
# Version:   peft 0.21.2, transformers 5.23.0, torch 2.13.0; PeftModel.from_pretrained.
# Seen:      qwen3_moe: PEFT moves the logits by 0.1218, base plus B A by 0.1218
#            qwen2_moe: PEFT moves the logits by 0.0000, base plus B A by 0.1668
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy
HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 "$work/env/bin/python" -W ignore - <<'PY'
import json
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen2MoeConfig, Qwen3MoeConfig

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 48,
    "tie_word_embeddings": False,
}
IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def effect(config, folder):
    """Largest change of the logits: by PEFT with an adapter of single experts, and by adding B A to the experts by hand."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config).float().eval()
    for name, value in base.named_parameters():
        if "experts" in name:
            torch.nn.init.normal_(value, std=0.25)
    base.save_pretrained(folder / "base")
    with torch.no_grad():
        before = base(IDS).logits
    tensors, experts = {}, base.model.layers[0].mlp.experts
    for expert in range(2):
        for name, into, out in (("gate_proj", 32, 48), ("up_proj", 32, 48), ("down_proj", 48, 32)):
            a, b = torch.randn(4, into) * 0.1, torch.randn(out, 4) * 0.1
            path = f"base_model.model.model.layers.0.mlp.experts.{expert}.{name}"
            tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"] = a, b
            with torch.no_grad():
                if name == "down_proj":
                    experts.down_proj[expert] += 2 * b @ a
                else:
                    start = 0 if name == "gate_proj" else 48
                    experts.gate_up_proj[expert, start : start + 48] += 2 * b @ a
    with torch.no_grad():
        by_hand = base(IDS).logits
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "base"), lora).save_pretrained(folder / "adapter")
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")
    settings = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    settings["target_modules"] = ["gate_proj", "up_proj", "down_proj"]
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), folder / "adapter").eval()
    with torch.no_grad():
        by_peft = tuned(IDS).logits
    return float((by_peft - before).abs().max()), float((by_hand - before).abs().max())


found = {}
for config in (Qwen3MoeConfig(**SIZES), Qwen2MoeConfig(**SIZES, shared_expert_intermediate_size=16)):
    with tempfile.TemporaryDirectory() as folder:
        found[config.model_type] = peft, hand = effect(config, Path(folder))
    print(f"{config.model_type}: PEFT moves the logits by {peft:.4f}, base plus B A by {hand:.4f}")
peft, hand = found["qwen3_moe"]
assert abs(peft - hand) < 1e-4 < hand, found
peft, hand = found["qwen2_moe"]
assert peft == 0.0 and hand > 0.01, f"the guess holds now: {found}"
PY
