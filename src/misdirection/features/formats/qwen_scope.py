"""Qwen Scope (Qwen3, TopK): layerN.sae.pt; k stands in the name of the repository ("...-L0_50")."""

from __future__ import annotations

import re
from pathlib import Path

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.settings import only
from misdirection.features.formats.tensors import pick, read_torch

NAMES = ("W_enc", "W_dec", "b_enc", "b_dec")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("layer*.sae.pt"))


def matches(folder: Path) -> bool:
    """Whether the folder holds layerN.sae.pt."""
    return bool(_files(folder))


def read(folder: Path) -> Dictionary:
    """The dictionary in the folder; both matrices are stored transposed.

    Raises:
        DictionaryError: The folder holds more than one or does not name k; a tensor is missing or not known.
    """
    files = _files(folder)
    if len(files) > 1:
        raise DictionaryError(
            f"{folder} holds {len(files)} dictionaries, {files[0].name} to {files[-1].name}",
            "give a folder with one of them, below a folder named after the repository",
        )
    path = files[0]
    told = re.findall(r"L0[_-](\d+)", str(folder))
    if not told:
        raise DictionaryError(
            f"{folder} does not say its k", "name the folder after its repository, which ends in L0_<k>"
        )
    tensors = read_torch(path)
    only(tensors, NAMES, path)
    encoder, decoder, encoder_bias, decoder_bias = pick(tensors, path, *NAMES)
    number = re.search(r"layer(\d+)", path.name)
    return Dictionary(
        encoder.T.contiguous(), decoder.T.contiguous(), encoder_bias, decoder_bias, "topk", k=int(told[-1]),
        layer=int(number[1]) if number else None, facts={"format": "qwen_scope"},
    )  # fmt: skip
