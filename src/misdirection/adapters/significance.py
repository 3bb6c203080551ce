"""Which tokens matter for what tuning changed: the token-significance filter of arXiv 2506.11618 appendix H.

For one answer of tokens t with input embeddings e_t,

    K = sum over answer tokens of KL(base || tuned)       (nats, of the next-token distributions)
    g_t = dK / de_t
    score_t = K * ||g_t|| / sum over answer tokens of ||g||

so that the scores of an answer add up to its K; a token is kept when ln score_t >= 0.5. The base and the tuned model
read the same embeddings, and the gradient goes through both. The token that ends the answer predicts nothing in it, so
its score is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from misdirection import progress
from misdirection.engine import Arm, Text
from misdirection.engine.batching import default_budget, run_batches
from misdirection.engine.program import Program
from misdirection.engine.texts import bind_texts, pad_right
from misdirection.models import Model

LOG_SCORE = 0.5
"""The published threshold on the natural logarithm of a score."""

_SHARE = 8
"""A pass that is differentiated holds every layer's activations: so much smaller is its batch."""


def token_scores(model: Model, texts: Sequence[Text], base: Arm, tuned: Arm) -> list[Tensor]:
    """The significance of every answer token (from `Text.start` on), one tensor of shape (answer tokens,) a text.

    Args:
        model: The resident model, which holds both arms.
        texts: Texts that end with their answer; their own arms are ignored.
        base: The reference.
        tuned: The other.
    """
    results: dict[int, Tensor] = {}

    def run(batch: list[int]) -> list[Tensor]:
        rows = [texts[index] for index in batch]
        total, gradient = divergence_gradient(model, rows, base, tuned)
        return [_spread(float(total[row]), gradient[row, text.start : len(text.ids)]) for row, text in enumerate(rows)]

    vocabulary = int(model.lm.config.get_text_config().vocab_size)
    budget = max(1, min(default_budget(model) // _SHARE, 2**24 // vocabulary))
    with progress.task("scoring tokens", len(texts), "texts") as advance:
        for batch, found in run_batches(range(len(texts)), lambda index: len(texts[index].ids), budget, run):
            results.update(zip(batch, found, strict=True))
            advance(len(batch))
    return [results[index] for index in range(len(texts))]


def keep(scores: Tensor, log_score: float = LOG_SCORE) -> Tensor:
    """Which tokens pass: ln score >= the threshold, as booleans of the same shape."""
    return scores.double().log() >= log_score


def divergence_gradient(model: Model, texts: Sequence[Text], base: Arm, tuned: Arm) -> tuple[Tensor, Tensor]:
    """Each text's total KL(base || tuned) over its answer, and its gradient in the input embeddings.

    The gradient through both models is the sum of those through each with the other held fixed, so that only one graph
    is in memory at a time.

    Returns:
        Totals of shape (texts,) and gradients of shape (texts, longest, width), float32 on the CPU.
    """
    ids, positions = pad_right(texts)
    embedded = model.lm.get_input_embeddings()(ids.to(model.device)).detach()
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        mask[row, text.start - 1 : len(text.ids) - 1] = True
    with torch.no_grad():
        fixed = _log_chances(model, texts, tuned, embedded, positions)
    gradient = torch.zeros(embedded.shape)
    total = torch.zeros(len(texts))
    for arm in (base, tuned):
        leaf = embedded.clone().requires_grad_(True)
        with torch.enable_grad():
            found = _log_chances(model, texts, arm, leaf, positions)
            first, second = (found, fixed) if arm is base else (fixed, found)
            each = (first.exp() * (first - second)).sum(-1)
            per_text = (each * mask.to(each.device)).sum(-1)
            gradient += torch.autograd.grad(per_text.sum(), leaf)[0].float().cpu()
        total, fixed = per_text.detach().float().cpu(), found.detach()
    return total, gradient


def _log_chances(model: Model, texts: Sequence[Text], arm: Arm, embedded: Tensor, positions: Tensor) -> Tensor:
    """Log-probabilities of the next token at every position, shape (texts, longest, vocabulary), float32."""
    program = Program(model, [arm])
    moved = [Text(text.ids, text.spans, arm, text.start) for text in texts]
    with program.attached():
        bind_texts(program, moved, positions)
        output = model.lm(inputs_embeds=embedded, use_cache=False)
    return torch.log_softmax(output.logits.float(), -1)


def _spread(total: float, gradient: Tensor) -> Tensor:
    norms = gradient.norm(dim=-1)
    whole = norms.sum()
    return norms * (total / whole) if whole > 0 else torch.zeros_like(norms)
