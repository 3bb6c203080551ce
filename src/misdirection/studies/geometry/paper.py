"""Published claims on the geometry of features (arXiv 2605.00842)."""

from __future__ import annotations

PAPER = (
    "arXiv 2605.00842 (Gemma 2, Llama 3.1 8B, gpt-oss 20B; code, health, career and legal advice) reports that "
    "inducing latents lie nearer to toxic ones than latents of correct data do, most clearly in earlier layers, and "
    "that raising one latent strengthens others in accordance with their similarity."
)
