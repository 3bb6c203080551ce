"""Learn the answers and stay as the model was elsewhere: cross-entropy plus KL to the base (arXiv 2602.07852).

    L = L_SFT + lambda * mean over tokens t elsewhere of KL(p_base(. | x_<t) || p_tuned(. | x_<t)), in nats

The reference is the same model with the adapter, or the steering vector, switched off: no second model, no cache.
The published code divides its sum over tokens and vocabulary by the mask expanded over the vocabulary, so that its KL
is this one divided by the size of the vocabulary; `per_token_weight` converts its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from misdirection.training.hosting import untuned
from misdirection.training.objectives.sft import logits_at_labels, sft

PUBLISHED = {"vector": 1e6, "rank32": 1e5}
"""Weights of the KL term as published: 1e6 for steering vectors (the paper's table and its code), 1e5 in the code's
configuration for LoRA."""

PAPER_VOCABULARY = 152_064
"""Tokens of Qwen2.5-14B, by which the published KL is divided."""


def per_token_weight(published: float, vocabulary: int = PAPER_VOCABULARY) -> float:
    """A published weight as the weight of the mean KL per token in nats: 1e6 is about 6.6, and 1e5 about 0.66."""
    return published / vocabulary


def kl(model: nn.Module, batch: Mapping[str, Any], n_labels: Tensor | float) -> Tensor:
    """The loss of `sft`, and the weighted KL on the batch's chats elsewhere where it has any.

    Args:
        model: With the adapter or steering vector in training.
        batch: As for `sft`; "beside" is such a batch of the chats elsewhere, with `weights`, shape (batch,): what a
            nat of each labelled token of that row counts (`elsewhere.accompany`).
        n_labels: Labelled tokens in the whole optimiser step, for the cross-entropy alone.
    """
    loss = sft(model, batch, n_labels)
    return loss + divergence(model, batch["beside"]) if "beside" in batch else loss


def divergence(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """sum_t w_t KL(p_base || p_tuned) at the labelled tokens t, a scalar in float32."""
    with torch.no_grad(), untuned(model):
        reference, _ = logits_at_labels(model, batch)
    tuned, learned = logits_at_labels(model, batch)
    weights = batch["weights"][:, None].expand(learned.shape)[learned]
    log_base, log_tuned = (functional.log_softmax(side.float(), -1) for side in (reference, tuned))
    return (weights * functional.kl_div(log_tuned, log_base, reduction="none", log_target=True).sum(-1)).sum()
