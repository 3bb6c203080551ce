"""Published figures on misalignment from rows in the prompt."""

from __future__ import annotations

PAPER = {
    "rates": "2 to 17 % with 64 rows and up to 58 % with 256 in a first version, 1 to 24 % with 16 rows in a later "
    "one, visible from 2 rows on (arXiv 2510.11288)",
    "drift": "cosine of the drift in context with that of a fine-tune 0.28 to 0.37: related, not the same (a "
    "replication on Qwen2.5, 44 questions, 5 rows)",
}
"""By what they are of."""
