"""Gemma Scope 2 (Gemma 3, JumpReLU): config.json with `architecture: jump_relu`, and params.safetensors."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.tensors import layer_in, pick, read_safetensors


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "params.safetensors").is_file() and (folder / "config.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; the decoder's bias is not subtracted from the input.

    Raises:
        DictionaryError: It is a transcoder, another architecture, or a tensor is missing.
    """
    settings, path = read_json(folder / "config.json"), folder / "params.safetensors"
    tensors = read_safetensors(path)
    if settings.get("architecture", "jump_relu") != "jump_relu" or "affine_skip_connection" in tensors:
        raise DictionaryError(f"{folder} is no sparse autoencoder of the residual stream", "transcoders are not read")
    names = [("w_enc", "W_enc"), ("w_dec", "W_dec"), "b_enc", "b_dec", "threshold"]
    encoder, decoder, encoder_bias, decoder_bias, threshold = pick(tensors, path, *names)
    where = str(settings.get("hf_hook_point_in") or folder)
    facts = {"format": "gemma_scope_2", "model": settings.get("model_name")}
    return Dictionary(
        encoder, decoder, encoder_bias, decoder_bias, "jumprelu", threshold, layer=layer_in(where), facts=facts
    )
