"""The two forward passes of sampling: over prompts, and over one more token a row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from misdirection.engine.cache import new_cache
from misdirection.engine.program import Program
from misdirection.engine.rows import Row
from misdirection.models import Model


def prefill(model: Model, program: Program, rows: list[Row]) -> tuple[DynamicCache, Tensor, Tensor | None]:
    """Run the prompts, padded on the left; cache, logits after the last token, and the mask where there is padding."""
    longest = max(len(row.prompt.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, longest - len(row.prompt.ids) :] = torch.tensor(row.prompt.ids)
        mask[index, longest - len(row.prompt.ids) :] = 1
    positions = mask.cumsum(1) - 1
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[:, -1] = True
    program.bind(
        program.arm_index([row.arm for row in rows]), mask.bool(), last, torch.where(mask.bool(), positions, -1)
    )
    padded = not bool(mask.all())
    cache = new_cache(model)
    logits = forward(model, ids, cache, positions.clamp(min=0), mask if padded else None)
    return cache, logits, mask if padded else None


def forward(
    model: Model, ids: Tensor, cache: DynamicCache, positions: Tensor, mask: Tensor | None, **more: Any
) -> Tensor:
    """Logits after the last token of each row, shape (rows, vocabulary); `more` reaches the attention."""
    device = model.device
    output = model.lm(
        input_ids=ids.to(device),
        attention_mask=None if mask is None else mask.to(device),
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **more,
    )
    return output.logits[:, -1]
