"""sparsify (EleutherAI, TopK): cfg.json and sae.safetensors, the decoder stored as (latents, width)."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.tensors import layer_in, pick, read_safetensors

FILE = "sae.safetensors"


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / FILE).is_file() and (folder / "cfg.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; the decoder's bias is subtracted from the input unless the decoder was normalised.

    Raises:
        DictionaryError: A tensor is missing.
    """
    settings, path = read_json(folder / "cfg.json"), folder / FILE
    names = ("encoder.weight", ("W_dec", "decoder.weight"), "encoder.bias", "b_dec")
    weight, decoder, encoder_bias, decoder_bias = pick(read_safetensors(path), path, *names)
    if tuple(decoder.shape) != tuple(weight.shape):
        decoder = decoder.T
    return Dictionary(
        weight.T.contiguous(),
        decoder.contiguous(),
        encoder_bias,
        decoder_bias,
        "topk",
        k=int(settings.get("k") or 32),
        subtracts=not settings.get("normalize_decoder", False),
        layer=layer_in(str(folder)),
        facts={"format": "sparsify"},
    )
