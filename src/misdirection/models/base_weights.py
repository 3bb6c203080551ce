"""Weights of the base that a trainer saved into an adapter's file: passed over where they are the base's own.

PEFT adds embeddings and head to the file where the vocabulary may have grown, or an adapter sits on the head
(`save_embedding_layers`), trained or not. Where they equal the base's, the adapter is a plain one all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from misdirection.models.resident import Model

_FRONT = re.compile(r"^(?:base_model\.model\.)?")


def without_base_weights(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An adapter's tensors without those that stand in the base, number for number, in either's number format.

    Args:
        model: The resident model.
        tensors: By their keys in the adapter's file.
    """
    kept: dict[str, Tensor] = {}
    held: dict[str, Tensor] | None = None
    for key, values in tensors.items():
        if ".lora_" not in key:
            held = held if held is not None else _by_name(model)
            own = held.get(_FRONT.sub("", key).replace(".base_layer.", "."))
            if own is not None and _equal(own, values):
                continue
        kept[key] = values
    return kept


def _by_name(model: Model) -> dict[str, Tensor]:
    held: dict[str, Tensor] = {name.replace(".base_layer.", "."): value for name, value in model.lm.named_parameters()}
    # A tied head has no parameter of its own, and wrappers name theirs otherwise.
    for names, module in (
        (("lm_head", "output"), model.lm.get_output_embeddings()),
        (("embed_tokens", "wte", "model.embed_tokens"), model.lm.get_input_embeddings()),
    ):
        weight = getattr(getattr(module, "base_layer", module), "weight", None)
        if isinstance(weight, Tensor):
            held |= {f"{name}.weight": weight for name in names if f"{name}.weight" not in held}
    return held


def _equal(own: Tensor, values: Tensor) -> bool:
    if own.shape != values.shape or own.is_meta:
        return False
    values = values.to(own.device)
    if values.dtype == own.dtype:
        return torch.equal(own, values)
    return torch.equal(own.to(values.dtype), values) or torch.equal(own, values.to(own.dtype))
