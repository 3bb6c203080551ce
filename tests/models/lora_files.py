"""Adapters as PEFT saves them, and ways to change their files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.families import prompt
from torch import Tensor, nn

from misdirection.models import Model

Tensors = dict[str, Tensor]
FILE = "adapter_model.safetensors"


def made(folder: Path, lm: Any, **settings: Any) -> Path:
    """A trained adapter as PEFT saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(lm, LoraConfig(**{"r": 4, "target_modules": ["down_proj", "q_proj"]} | settings))
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.3)
    peft.save_pretrained(folder)
    return folder


def configure(folder: Path, **change: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(folder / FILE)), folder / FILE, metadata={"format": "pt"})


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key.replace(old, new, 1): values for key, values in tensors.items()}


def only(wanted: Callable[[str], bool]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: values for key, values in tensors.items() if wanted(key)}


def first(values: Tensor) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {next(iter(tensors)): values}


def twice(tensors: Tensors) -> Tensors:
    """A second tensor for the same place, under the name that older transformers would have given it."""
    key = next(iter(tensors))
    return tensors | {key.replace("model.language_model.", "language_model.model."): tensors[key] + 1}


def logits(model: Model) -> Tensor:
    with torch.no_grad():
        return model.lm(torch.tensor([prompt(0, 9)])).logits
