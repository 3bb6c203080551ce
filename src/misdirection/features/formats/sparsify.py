"""sparsify (EleutherAI, TopK): cfg.json and sae.safetensors, the decoder stored as (latents, width).

The decoder's bias is subtracted from the input of every dictionary that is no transcoder, as sparsify itself encodes;
SAELens's converter leaves it out where `normalize_decoder` is on, which is sparsify's default.
"""

from __future__ import annotations

from pathlib import Path

import torch

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.hooks import layer_of_path
from misdirection.features.formats.settings import choice, must_be_off, one_k, only, refuse_unknown, shapes
from misdirection.features.formats.tensors import of_width, pick, read_safetensors

FILE = "sae.safetensors"
OFF = ("transcode", "skip_connection", "signed")
FOLLOWED = ("k", "activation", "d_in", "num_latents", "expansion_factor", *OFF)
HARMLESS = ("normalize_decoder", "multi_topk")
TENSORS = ("encoder.weight", "encoder.bias", "W_dec", "decoder.weight", "b_dec")


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / FILE).is_file() and (folder / "cfg.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; its folder's name is the hook ("layers.12").

    Raises:
        DictionaryError: It is a transcoder, has a skip connection, another activation or another hook than a layer's
            output; a setting or a tensor that is not known, or a tensor that is missing.
    """
    settings, path = read_json(folder / "cfg.json"), folder / FILE
    refuse_unknown(settings, (*FOLLOWED, *HARMLESS), folder)
    must_be_off(settings, OFF, folder)
    choice(settings, "activation", {"topk": None}, folder, "topk")
    layer = layer_of_path(folder)
    tensors = read_safetensors(path)
    only(tensors, TENSORS, path)
    weight, decoder, decoder_bias = pick(tensors, path, "encoder.weight", ("W_dec", "decoder.weight"), "b_dec")
    encoder_bias = tensors.get("encoder.bias", torch.zeros(len(weight))).float()
    shapes(settings, ("d_in", "num_latents"), weight.T, folder)
    return Dictionary(
        weight.T.contiguous(),
        (decoder if "W_dec" in tensors else of_width(decoder, weight.shape[1])).contiguous(),
        encoder_bias,
        decoder_bias,
        "topk",
        k=one_k({"k": settings.get("k", 32)}, folder),
        subtracts=True,
        layer=layer,
        facts={"format": "sparsify"},
    )
