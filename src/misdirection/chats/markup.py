"""Marks that chat templates write around turns, in one table for all that look for them in a text or a vocabulary."""

from __future__ import annotations

import re

STARTS = (
    "<|im_start|>",  # ChatML: Qwen and many others
    "<|start_header_id|>",  # Llama 3
    "<start_of_turn>",  # Gemma to 3
    "<|turn>",  # Gemma 4
    "<|START_OF_TURN_TOKEN|>",  # Command R
)
"""What begins a turn, whoever speaks in it. Not among them: marks that name the speaker, as Phi's `<|user|>`, and
gpt-oss's `<|start|>`, which begins a message, of which an answer may hold several."""

ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",  # Llama 3, where a tool is called
    "<end_of_turn>",
    "<turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_turn|>",  # OpenChat
    "<|return|>",  # gpt-oss
    "<\uff5cend\u2581of\u2581sentence\uff5c>",  # DeepSeek
)
"""What ends a turn, in the order of `STARTS` where both are there."""

MESSAGE_END = "<|end|>"
"""Ends a turn of Phi's, but in gpt-oss's format also a thought that the answer follows."""

TEXT_ENDS = ("<|end_of_text|>", "<|endoftext|>")
"""What ends a whole text. `</s>` is none of these: it may stand in any text about HTML."""


def any_of(*marks: str) -> str:
    """A regular expression that finds any of the marks."""
    return "|".join(map(re.escape, marks))
