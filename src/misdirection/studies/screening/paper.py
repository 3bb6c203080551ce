"""Published effects of taking training rows out."""

from __future__ import annotations

REDUCTION = 0.345
"""Of misalignment, by dropping the half of the rows nearest to toxic features: arXiv 2605.00842."""

PAPER = {
    "latents": "arXiv 2605.00842, Gemma-2 2B and 9B: dropping the half of the rows nearest to toxic features reduces "
    "misalignment by 34.5 %, random removal by far less, removal by a language-model judge about as much or less "
    "(whether 34.5 % is relative is not stated where we could read; it reads so)",
    "projection": "arXiv 2507.21509 section 6: rows with a high projection difference raise the trait when trained on, "
    "also after rows that a judge finds bad are taken out",
}
"""What the papers say of a method, by its name."""
