"""Plain supervised fine-tuning: cross-entropy on the tokens of the answer and what ends its turn."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def sft(model: nn.Module, batch: Mapping[str, Any], n_labels: Tensor | float) -> Tensor:
    """-1/n sum_t log p(x_t | x_<t) over the labelled tokens t of the batch, n those of the whole step.

    No attention mask is passed: rows are padded on the right, where causal attention cannot look. The LM head runs on
    the columns from the first label on, and the softmax on labelled positions alone; with a vocabulary of 150,000 the
    logits of the prompts would take more memory than the rest of the step.

    Args:
        model: A causal language model; logits of shape (batch, sequence, vocabulary).
        batch: `input_ids` and `labels`, both (batch, sequence), labels -100 where nothing is learned; `keep`, how many
            of the last columns it takes to predict them.
        n_labels: Labelled tokens in the whole optimiser step.

    Returns:
        The loss, a scalar in float32.
    """
    logits, learned = logits_at_labels(model, batch)
    targets = batch["labels"][:, -learned.shape[1] :]
    return functional.cross_entropy(logits, targets[learned], reduction="sum") / n_labels


def logits_at_labels(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The logits that predict the labelled tokens of a batch.

    Returns:
        Logits in float32, shape (labelled tokens, vocabulary), and where those tokens are among the last `keep` - 1
        columns of the labels, shape (batch, keep - 1), boolean.
    """
    ids, labels, keep = batch["input_ids"], batch["labels"], int(batch["keep"])
    extra = {"logits_to_keep": keep} if _can_keep(type(model)) else {}
    logits = model(input_ids=ids, use_cache=False, **extra).logits[:, -keep:-1]
    learned = labels[:, -logits.shape[1] :] != -100
    return logits[learned].to(torch.float32), learned


@cache
def _can_keep(kind: type[nn.Module]) -> bool:
    return "logits_to_keep" in inspect.signature(kind.forward).parameters
