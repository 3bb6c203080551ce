"""Plain supervised fine-tuning: cross-entropy on the tokens of the answer and what ends its turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from misdirection.engine.head import logits_at
from misdirection.training.answer_loss import summed_cross_entropy
from misdirection.training.data import IGNORED
from misdirection.training.passes import beginning


def sft(model: nn.Module, batch: Mapping[str, Any], n_labels: Tensor | float) -> Tensor:
    """-1/n sum_t log p(x_t | x_<t) over the labelled tokens t of the batch, n those of the whole step.

    No attention mask is passed: rows are padded on the right, where causal attention cannot look. The LM head runs at
    the positions that predict a label, and nowhere else; with a vocabulary of 150,000 the logits of the prompts would
    take more memory than the rest of the step.

    Args:
        model: A causal language model; logits of shape (batch, sequence, vocabulary).
        batch: `input_ids` and `labels`, both (batch, sequence), labels -100 where nothing is learned; `beginning`,
            tokens in front of every row, where there are any.
        n_labels: Labelled tokens in the whole optimiser step.

    Returns:
        The loss, a scalar in float32.
    """
    logits, learned = logits_at_labels(model, batch)
    return summed_cross_entropy(logits, batch["labels"][:, 1:][learned]) / n_labels


def logits_at_labels(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The logits that predict the labelled tokens of a batch.

    Returns:
        Logits in the model's number format, shape (labelled tokens, vocabulary), and which tokens, but for the first,
        are labelled, shape (batch, sequence - 1), boolean.
    """
    ids, learned = batch["input_ids"], batch["labels"][:, 1:] != IGNORED
    places = torch.nn.functional.pad(learned, (0, 1))
    if "beginning" in batch:
        cached = beginning(model, batch["beginning"], len(ids))
        return logits_at(model, places, input_ids=ids, use_cache=True, **cached), learned
    return logits_at(model, places, input_ids=ids, use_cache=False), learned
