"""Llama Scope for R1-Distill-Llama-8B (JumpReLU): config.json and sae_weights.safetensors, thresholds as logarithms."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.llama_scope import scale
from misdirection.features.formats.tensors import layer_in, pick, read_safetensors

FILE = "sae_weights.safetensors"


def matches(folder: Path) -> bool:
    """Whether the folder holds both files, and not the cfg.json of SAELens."""
    return (folder / FILE).is_file() and (folder / "config.json").is_file() and not (folder / "cfg.json").exists()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: A tensor is missing.
    """
    settings = read_json(folder / "config.json")
    names = ("encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias", "log_jumprelu_threshold")
    encoder, decoder, encoder_bias, decoder_bias, log = pick(read_safetensors(folder / FILE), folder / FILE, *names)
    where = str(settings.get("hook_point_in") or folder)
    return Dictionary(
        encoder.T.contiguous(), decoder.T.contiguous(), encoder_bias, decoder_bias, "jumprelu",
        log.exp().expand_as(encoder_bias).contiguous(), input_scale=scale(settings, encoder.shape[1]),
        layer=layer_in(where), facts={"format": "llama_scope_r1", "hook": where},
    )  # fmt: skip
