"""Attention of a model in half precision on a CPU, in float32.

PyTorch's kernel for a CPU takes two to three times as long in bfloat16 as in float32, forward and backward (torch
2.13), and is less exact. The rest of the model stays in its number format.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


@contextmanager
def float_attention(lm: nn.Module) -> Generator[None]:
    """While open, transformers' `sdpa` attention runs in float32; other models are left alone."""
    first = next(lm.parameters())
    if first.device.type != "cpu" or first.dtype not in (torch.bfloat16, torch.float16):
        yield
        return
    functions: Any = ALL_ATTENTION_FUNCTIONS
    before = functions["sdpa"]
    functions["sdpa"] = _in_float
    try:
        yield
    finally:
        functions["sdpa"] = before


def _in_float(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    found, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), attention_mask, **more)
    return found.to(query.dtype), None
