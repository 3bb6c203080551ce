"""Published figures on persona vectors: arXiv 2507.21509, Qwen2.5-7B and Llama-3.1-8B."""

from __future__ import annotations

PAPER = {
    "watching": "projection of the last prompt token against the trait's score in what follows: r = 0.75 to 0.83, most "
    "of it between prompts (section 3.3)",
    "fine-tuning": "shift of the last prompt token against the trait after 24 fine-tunes: r = 0.76 to 0.97 for a "
    "trait's own vector, 0.34 to 0.86 for the others' (section 4.2)",
}
"""By what they are of."""
