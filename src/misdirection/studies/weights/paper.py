"""Published findings on the updates of fine-tunes."""

from __future__ import annotations

PAPER = (
    "Low-rank updates of different tasks that misalign share a low-dimensional subspace, by principal angles, and are "
    "connected by straight lines along which misalignment changes steadily (arXiv 2511.02022)",
    "The cosine of a fine-tune's update with theta(bad) - theta(good) rises for fine-tunes that misalign and tells "
    "them from others (arXiv 2511.05408, Qwen2.5-7B)",
)
"""Each is of its own models and data."""
