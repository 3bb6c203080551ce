"""Gemma Scope 2 (Gemma 3, JumpReLU): config.json with `architecture: jump_relu`, and params.safetensors."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.gemma_scope import NAMES
from misdirection.features.formats.hooks import layer_of_hook, layer_of_path
from misdirection.features.formats.settings import choice, flag, only, refuse_unknown, shapes
from misdirection.features.formats.tensors import pick, read_safetensors

FOLLOWED = ("architecture", "hf_hook_point_in", "hf_hook_point_out", "affine_connection", "type", "width")
HARMLESS = ("model_name", "l0", "layer", "dtype", "dataset", "seed", "training_tokens", "num_tokens")


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "params.safetensors").is_file() and (folder / "config.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; the decoder's bias is not subtracted from the input.

    Raises:
        DictionaryError: It is a transcoder, another architecture or another hook than the residual stream after a
            layer; a setting or a tensor is not known, or a tensor is missing.
    """
    settings, path = read_json(folder / "config.json"), folder / "params.safetensors"
    refuse_unknown(settings, (*FOLLOWED, *HARMLESS), folder)
    choice(settings, "architecture", {"jump_relu": None}, folder, "jump_relu")
    choice(settings, "type", {"sae": None}, folder, "sae")
    hook, out = settings.get("hf_hook_point_in"), settings.get("hf_hook_point_out")
    if flag(settings, "affine_connection", folder) or out not in (None, "", hook):
        raise DictionaryError(f"{folder} is a transcoder, from '{hook}' to '{out}'", "transcoders are not read")
    layer = layer_of_hook(str(hook), folder) if hook else layer_of_path(folder)
    tensors = read_safetensors(path)
    only(tensors, ("w_enc", "W_enc", "w_dec", "W_dec", "b_enc", "b_dec", "threshold"), path)
    encoder, decoder, encoder_bias, decoder_bias, threshold = pick(tensors, path, *NAMES)
    if decoder.ndim != 2:
        raise DictionaryError(f"{folder} is a cross-layer transcoder", "transcoders are not read")
    shapes({"latents": settings.get("width")}, ("width", "latents"), encoder, folder)
    return Dictionary(
        encoder, decoder, encoder_bias, decoder_bias, "jumprelu", threshold, layer=layer,
        facts={"format": "gemma_scope_2", "model": settings.get("model_name"), "hook": hook},
    )  # fmt: skip
