"""Published layouts of sparse autoencoders, one file each.

Each module of FORMATS has `matches(folder)`, whether a folder is laid out so, and `read(folder)`, the dictionary in it.
Shapes and conventions are those of the library that wrote the layout; equality with SAELens and sparsify is tested
where they are installed (`make test-sae`). A setting or tensor that a reader does not know is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from misdirection.features.dictionary import Dictionary
from misdirection.features.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    llama_scope_r1,
    misdirection_own,
    qwen_scope,
    sae_lens,
    sparsify,
)

Reader = tuple[Callable[[Path], bool], Callable[[Path], Dictionary]]

FORMATS: Mapping[str, Reader] = MappingProxyType(
    {
        "misdirection": (misdirection_own.matches, misdirection_own.read),
        "sae_lens": (sae_lens.matches, sae_lens.read),
        "gemma_scope": (gemma_scope.matches, gemma_scope.read),
        "gemma_scope_2": (gemma_scope_2.matches, gemma_scope_2.read),
        "llama_scope": (llama_scope.matches, llama_scope.read),
        "llama_scope_r1": (llama_scope_r1.matches, llama_scope_r1.read),
        "dictionary_learning": (dictionary_learning.matches, dictionary_learning.read),
        "sparsify": (sparsify.matches, sparsify.read),
        "qwen_scope": (qwen_scope.matches, qwen_scope.read),
        "goodfire": (goodfire.matches, goodfire.read),
    }
)
"""By name: whether a folder is of the format, and its reader; tried in this order."""
