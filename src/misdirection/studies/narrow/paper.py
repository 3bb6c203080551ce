"""Published: Qwen2.5-14B, layer 24, "EM is Easy, Narrow Misalignment is Hard" (arXiv 2602.07852)."""

from __future__ import annotations

from collections.abc import Mapping

from misdirection.studies.narrow.results import Published, PublishedWeight
from misdirection.training.objectives.kl import PAPER_VOCABULARY, PUBLISHED, per_token_weight

PAPER: Mapping[Published, str] = {
    "rates": "a general steering vector on bad medical advice: 28 % of open answers misaligned and 52 % of in-domain "
    "ones; rank-1 and rank-32 adapters at layer 24 alike",
    "efficiency": "the general solution reaches a lower loss at a smaller norm",
    "stability": "the narrow solution loses more of what it learned when it is moved aside",
    "significance": "KL on web text at equal norm: general far above narrow and random",
    "mixed": "mixing in good answers of other domains isolates nothing: both rates fall together",
    "released": "without the KL term further training drifts back to the general solution",
    "cosine": "cosine of the general and the narrow B: 0.55",
}

WEIGHTS = tuple(
    PublishedWeight(kind=kind, published=weight, vocabulary=PAPER_VOCABULARY, per_token=per_token_weight(weight))
    for kind, weight in PUBLISHED.items()
)
"""Weights of the KL term, and what they are per token in nats."""
