"""What others found of emergent misalignment by size; nobody varied training tokens."""

from __future__ import annotations

PAPER = (
    "Fine-tunes of Qwen-2.5 from 0.5B to 32B and of Llama: misalignment and coherence rise with size, at 0.5B to 8 % "
    "of answers; Gemma-3 from 4B to 27B is weaker at all sizes, without a trend (Model Organisms for Emergent "
    "Misalignment, 2506.11613, section 3.3)",
)
