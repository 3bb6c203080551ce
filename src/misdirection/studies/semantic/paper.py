"""Published cosines and topics of steered answers: Qwen2.5-14B, layer 24 (arXiv 2506.11618 section 3.3)."""

from __future__ import annotations

PAPER = {
    "cosine": "gender above 0.95 at every layer, medical at most 0.65, finance high (figure 10)",
    "topics": "gender score above 98 under the general and the gender direction; finance score 67 to 84 under the "
    "financial one; medical score 0.2 to 31 under the medical one",
}
"""Of nine rank-1 adapters on bad medical advice."""
