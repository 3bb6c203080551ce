"""What a fine-tune leaves: an ordinary PEFT adapter folder, a steering vector, or a model folder with its tokenizer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from misdirection.artefacts import read_json, whole_folder, write_json
from misdirection.models.quiet import no_bars
from misdirection.training.hosting import ADAPTER, Host
from misdirection.training.steering_vector import VectorPlan, save_vector
from misdirection.training.targets import LoraPlan

if TYPE_CHECKING:
    from peft import LoraConfig


def save_adapter(lm: nn.Module, lora: LoraConfig, folder: Path) -> None:
    """Write the adapter in training as PEFT would: adapter_config.json and adapter_model.safetensors."""
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    tensors: dict[str, Tensor] = {
        f"base_model.model.{name.replace(f'.{ADAPTER}', '')}": value.detach().to("cpu", copy=True).contiguous()
        for name, value in lm.named_parameters()
        if f".{ADAPTER}." in name
    }
    with whole_folder(folder) as partial:
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
        config = copy.deepcopy(lora)
        config.inference_mode = True
        config.save_pretrained(str(partial))
        # PEFT keeps the names in a set, whose order changes from process to process.
        facts = read_json(partial / "adapter_config.json")
        facts["target_modules"] = sorted(facts["target_modules"])
        write_json(partial / "adapter_config.json", facts)


def save_model(host: Host, dtype: torch.dtype, folder: Path) -> None:
    """Write the whole model in `dtype`, with its tokenizer."""
    state = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in host.lm.state_dict().items()
    }
    with whole_folder(folder) as partial, no_bars():
        host.lm.save_pretrained(str(partial), state_dict=state)
        host.tokenizer.save_pretrained(str(partial))
        facts = read_json(partial / "config.json")
        facts["dtype"] = str(dtype).removeprefix("torch.")
        facts["use_cache"] = True  # the trainer switches it off in the model that it works on
        write_json(partial / "config.json", facts)


def save(host: Host, plan: LoraPlan | VectorPlan | None, dtype: torch.dtype, folder: Path) -> None:
    """Write what is being trained: the adapter or the vector of `plan`, the model where there is none."""
    if plan is None:
        save_model(host, dtype, folder)
    elif isinstance(plan, VectorPlan):
        save_vector(host.lm, plan, folder)
    else:
        save_adapter(host.lm, plan.lora, folder)
        if str(host.facts.get("asked", {}).get("from")).startswith("file "):
            # Loaded again, the adapter is asked as it was trained.
            (folder / "chat_template.jinja").write_text(str(host.tokenizer.chat_template), encoding="utf-8")
