"""Qwen Scope (Qwen3, TopK): layerN.sae.pt; k stands in the name of the repository ("...-L0_50")."""

from __future__ import annotations

import re
from pathlib import Path

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.tensors import pick, read_torch


def _file(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("layer*.sae.pt"))), None)


def matches(folder: Path) -> bool:
    """Whether the folder holds layerN.sae.pt."""
    return _file(folder) is not None


def read(folder: Path) -> Dictionary:
    """The dictionary of the first layer in the folder; both matrices are stored transposed.

    Raises:
        DictionaryError: A tensor is missing, or the folder does not name k.
    """
    path = _file(folder)
    assert path is not None
    told = re.search(r"L0[_-](\d+)", str(folder))
    if told is None:
        raise DictionaryError(
            f"{folder} does not say its k", "name the folder after its repository, which ends in L0_<k>"
        )
    encoder, decoder, encoder_bias, decoder_bias = pick(read_torch(path), path, "W_enc", "W_dec", "b_enc", "b_dec")
    number = re.search(r"layer(\d+)", path.name)
    return Dictionary(
        encoder.T.contiguous(), decoder.T.contiguous(), encoder_bias, decoder_bias, "topk", k=int(told[1]),
        layer=int(number[1]) if number else None, facts={"format": "qwen_scope"},
    )  # fmt: skip
