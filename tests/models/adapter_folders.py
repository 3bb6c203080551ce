"""Adapters of tiny models as folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.families import network
from torch import nn


def adapter_folder(folder: Path, family: str = "llama", base: str = "tiny-llama", **settings: Any) -> Path:
    """An adapter trained on a model of a family, as PEFT saves it."""
    from peft import LoraConfig, get_peft_model

    lm = network(family)
    lm.name_or_path = lm.config._name_or_path = base
    peft = get_peft_model(lm, LoraConfig(**{"r": 4, "target_modules": ["down_proj", "q_proj"]} | settings))
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.3)
    peft.save_pretrained(folder)
    return folder


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
