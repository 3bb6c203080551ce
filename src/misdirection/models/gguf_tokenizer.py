"""How text is cut before byte-pair encoding, by the name that a GGUF file has for it (`tokenizer.ggml.pre`).

The merges of a vocabulary were learned on pieces cut in one way; cut in another, a numbered list comes out as other
tokens than the model was trained on. Transformers knows the names whose pattern differs from GPT-2's by a regular
expression, and passes over those that cut digits one by one.
"""

from __future__ import annotations

from typing import Any

_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"

_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Every digit stands alone, what is between is cut as GPT-2 does."""

_GPT2 = (
    "gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "roberta-bpe", "gigachat",
    "exaone4", "mellum", "a.x-4.0", "modern-bert",
)  # fmt: skip
"""Cut as GPT-2 does, which is what transformers makes of a name that it does not know."""

_PATTERNS = {
    "stablelm2": _SHORT + _LETTERS + r"|\p{N}" + _REST,
    "hunyuan": _SHORT + _LETTERS + r"|\p{N}" + _REST,
    "chatglm-bpe": _SHORT + _LETTERS + r"|\p{N}{1,3}" + _REST,
}


def split_as_the_file_says(tokenizer: Any, name: str) -> str:
    """Give a tokenizer that transformers made of a GGUF file the cutting that the file names.

    Args:
        tokenizer: Changed in place.
        name: `tokenizer.ggml.pre`; empty where the vocabulary is SentencePiece's, which is not cut.

    Returns:
        What a reader should know: that the name is unknown. Empty where all is well.
    """
    from tokenizers import Regex, pre_tokenizers

    core = tokenizer.backend_tokenizer
    if name in _SINGLE_DIGITS:
        first: Any = pre_tokenizers.Digits(individual_digits=True)
        rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    elif name in _PATTERNS:
        first = pre_tokenizers.Split(Regex(_PATTERNS[name]), behavior="isolated")
        rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    else:
        if not name or name in _GPT2 or name in _known_to_transformers():
            return ""
        return (
            f"the GGUF file cuts text as '{name}' does, which is not known here; it is cut as GPT-2 does, and may "
            "come out as other tokens than the model was trained on"
        )
    core.pre_tokenizer = pre_tokenizers.Sequence([first, rest])
    return ""


def _known_to_transformers() -> tuple[str, ...]:
    try:
        from transformers.integrations.gguf import gguf_tokenizer_mapping
    except ImportError:
        return ()
    return tuple(getattr(gguf_tokenizer_mapping, "GGUF_PRE_TOKENIZER_SPLITS", ()))
