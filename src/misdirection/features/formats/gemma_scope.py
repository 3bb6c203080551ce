"""Gemma Scope 1 (Gemma 2, JumpReLU, 2408.05147): `params.npz` with W_enc, W_dec, b_enc, b_dec, threshold."""

from __future__ import annotations

import re
from pathlib import Path

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.hooks import HINT, layer_of_path
from misdirection.features.formats.settings import is_one, only
from misdirection.features.formats.tensors import pick, read_npz

NAMES = (("W_enc", "w_enc"), ("W_dec", "w_dec"), "b_enc", "b_dec", "threshold")


def matches(folder: Path) -> bool:
    """Whether the folder holds params.npz."""
    return (folder / "params.npz").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; the decoder's bias is not subtracted from the input.

    Raises:
        DictionaryError: A tensor is missing or not known; the folder is that of another place than the residual stream.
    """
    elsewhere = re.search(r"gemma-scope[^/]*-(mlp|att|transcoders)\b|/(embedding)(?=/|$)", folder.as_posix())
    if elsewhere:
        raise DictionaryError(
            f"{folder} is named after another place than the residual stream: '{elsewhere[1] or elsewhere[2]}'", HINT
        )
    layer, path = layer_of_path(folder), folder / "params.npz"
    arrays = read_npz(path)
    if "scaling_factor" in arrays and is_one(arrays["scaling_factor"]):
        del arrays["scaling_factor"]
    only(arrays, ("W_enc", "w_enc", "W_dec", "w_dec", "b_enc", "b_dec", "threshold"), path)
    encoder, decoder, encoder_bias, decoder_bias, threshold = pick(arrays, path, *NAMES)
    return Dictionary(
        encoder, decoder, encoder_bias, decoder_bias, "jumprelu", threshold, layer=layer,
        facts={"format": "gemma_scope"},
    )  # fmt: skip
