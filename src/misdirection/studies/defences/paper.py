"""Published figures of defences."""

from __future__ import annotations

PAPER = (
    "In-Training Defenses (2508.06249), insecure code, Qwen2.5-7B, general misaligned / in-domain misaligned: none "
    "4.0 / 51.6 %, KL 0.4 / 25.7 %, persona vector 0.1 / 51.3 %, inoculation 1.9 / 53.2 %, interleaving 0.6 / 51.7 %",
    "CAFT (2507.16795): misaligned answers reduced tenfold",
    "Conditional misalignment (2604.25891): dilution, benign fine-tuning afterwards and inoculation all leave "
    "misalignment on prompts that resemble the training data",
)
"""Each is of its own models, data and judge."""
