"""Published layouts of sparse autoencoders, one file each.

Each module of FORMATS has `matches(folder)`, whether a folder is laid out so, and `read(folder)`, the dictionary in it.
Shapes and conventions are those of the library that wrote the layout; equality with SAELens and sparsify is tested
where they are installed (`make test-sae`). A setting or tensor that a reader does not know is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
from misdirection.registry import Registry


class Layout(NamedTuple):
    """One layout: `matches(folder)`, whether a folder is laid out so, and `read(folder)`, the dictionary in it."""

    matches: Callable[[Path], bool]
    read: Callable[[Path], Dictionary]


def _reads(read: Callable[[Path], Dictionary], *, matches: Callable[[Path], bool]) -> Layout:
    return Layout(matches, read)


FORMATS: Registry[Layout] = Registry(
    "layout",
    "misdirection.dictionaries",
    _reads,
    {
        "misdirection": Layout(misdirection_own.matches, misdirection_own.read),
        "sae_lens": Layout(sae_lens.matches, sae_lens.read),
        "gemma_scope": Layout(gemma_scope.matches, gemma_scope.read),
        "gemma_scope_2": Layout(gemma_scope_2.matches, gemma_scope_2.read),
        "llama_scope": Layout(llama_scope.matches, llama_scope.read),
        "llama_scope_r1": Layout(llama_scope_r1.matches, llama_scope_r1.read),
        "dictionary_learning": Layout(dictionary_learning.matches, dictionary_learning.read),
        "sparsify": Layout(sparsify.matches, sparsify.read),
        "qwen_scope": Layout(qwen_scope.matches, qwen_scope.read),
        "goodfire": Layout(goodfire.matches, goodfire.read),
    },
    Layout,
)
"""By name, tried in this order; `FORMATS.register(name, matches=...)` adds a reader."""
