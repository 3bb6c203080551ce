"""Published figures: Qwen2.5-14B-Instruct, layer 24 (arXiv 2506.11618 sections 2, 3.4, 3.5 and appendix D)."""

from __future__ import annotations

HIGH = 0.8
"""Above which every pair of the paper's lies in all but 4 of 48 layers (figure 12)."""

RATES = {
    "rank1x9": "11.25 % (medical)", "rank32": "18.8 % (medical), 20.2 % (sport)",
    "rank1": "14 to 17 % (medical)", "full": "9 to 36 % by data set (2506.11613 section 3.4)",
}  # fmt: skip
"""Misaligned answers to open questions, by preset."""

COSINES = "three fine-tunes of Qwen2.5-14B: every pair above 0.8 in all but 4 of 48 layers (figure 12)"

REMOVALS = {
    "project layer-wise own": "11.25 to 0 % (nine rank-1 adapters, medical)",
    "project single own": "11.25 to 1 % (the same)",
    "project single same data, other preset": "18.8 % falls by 90 % (rank 32, medical)",
    "project single other data and preset": "20.2 % falls by 78 % (rank 32, sport)",
    "project one layer own": "17 to 4 % (one rank-1 adapter, appendix D)",
    "project random own": "within 10 % of the rate",
}
"""Before and after, by operation, what is removed, and whose it is."""

FALLS = (
    ("another's single direction", "single", "all others", "78 and 90 %", 0.78),
    ("its own single direction", "single", "own", "91 %", 0.91),
    ("each layer's own", "layer-wise", "own", "100 %", 1.0),
    ("its own at one layer alone", "one layer", "own", "76 %", 0.76),
)
"""Falls of the rate where a direction is projected out: in words, what is removed, whose, the figures, the least."""
