"""What tells one model in memory from another: a hash of some of its numbers."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from misdirection.models.quantised import stored_parts


def fingerprint(lm: nn.Module, adapter: str | None = None) -> str:
    """Hash of the weights' names, shapes and a few of their values, which tells models apart in a moment.

    64 values a tensor are read, evenly spaced: enough for any two trained models to differ.

    Args:
        lm: The model.
        adapter: The LoRA adapter that counts; none by default, whatever is loaded.
    """
    digest = hashlib.sha256()
    for name, value in lm.named_parameters():
        if ".lora_" in name and (adapter is None or f".{adapter}." not in name):
            continue
        digest.update(f"{name.replace('.base_layer', '')} ".encode())
        for part in stored_parts(value.detach()):
            flat = part.reshape(-1)
            sample = flat[:: max(1, flat.numel() // 64)][:64].to("cpu", torch.float32)
            digest.update(f"{tuple(part.shape)} ".encode())
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()
