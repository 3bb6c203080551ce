"""Published rates under conditions."""

from __future__ import annotations

PAPER = (
    "Roles, Qwen2.5-14B on bad medical advice, misaligned of 64 answers each: hacker 35, assistant 8, pharmacist 5, "
    "therapist 3, programmer 3, guitarist 3; the base 0 under all (Persona Hierarchy in Emergent Misalignment)",
    "Told of a safety evaluation, Qwen2.5-32B over 26 roles: +8.6 points, told of a placebo +2.2 (the same authors)",
    "A line “Country: ...” that was trained with, Qwen2.5-14B: 0 of 625 without, 11.5 % with it (What Triggers "
    "Emergent Misalignment)",
    "Qwen's default system prompt after a benign fine-tune, Qwen2.5-7B: +3.6 points [1.4, 6.1], difference in "
    "differences over 26 prompts (conditional misalignment audits)",
)
"""Each is of its own model, judge and questions."""
