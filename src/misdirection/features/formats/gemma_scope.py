"""Gemma Scope 1 (Gemma 2, JumpReLU, 2408.05147): `params.npz` with W_enc, W_dec, b_enc, b_dec, threshold."""

from __future__ import annotations

from pathlib import Path

from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.tensors import layer_in, pick, read_npz


def matches(folder: Path) -> bool:
    """Whether the folder holds params.npz."""
    return (folder / "params.npz").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; the decoder's bias is not subtracted from the input.

    Raises:
        DictionaryError: A tensor is missing.
    """
    path = folder / "params.npz"
    names = [("W_enc", "w_enc"), ("W_dec", "w_dec"), "b_enc", "b_dec", "threshold"]
    encoder, decoder, encoder_bias, decoder_bias, threshold = pick(read_npz(path), path, *names)
    return Dictionary(
        encoder, decoder, encoder_bias, decoder_bias, "jumprelu", threshold, layer=layer_in(str(folder)),
        facts={"format": "gemma_scope"},
    )  # fmt: skip
