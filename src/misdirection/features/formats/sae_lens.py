"""SAELens: cfg.json and sae_weights.safetensors, of the architectures standard, jumprelu, topk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.tensors import layer_in, pick, read_safetensors

FILE = "sae_weights.safetensors"
KINDS = {"standard": "relu", "jumprelu": "jumprelu", "topk": "topk"}


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / FILE).is_file() and (folder / "cfg.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; whether the decoder's bias is subtracted stands in the settings.

    Raises:
        DictionaryError: An architecture, or a normalisation of activations, that is not supported; a missing tensor.
    """
    settings, path = read_json(folder / "cfg.json"), folder / FILE
    kind = str(settings.get("architecture", "standard"))
    if kind not in KINDS:
        raise DictionaryError(f"{folder}: the architecture '{kind}' is not read", f"read are {', '.join(KINDS)}")
    normalised = str(settings.get("normalize_activations", "none"))
    if normalised not in ("none", "None"):
        raise DictionaryError(
            f"{folder} normalises activations by '{normalised}'", "fold the scaling into its weights with SAELens first"
        )
    tensors = read_safetensors(path)
    encoder, decoder, encoder_bias, decoder_bias = pick(tensors, path, "W_enc", "W_dec", "b_enc", "b_dec")
    rest: dict[str, Any] = {"subtracts": bool(settings.get("apply_b_dec_to_input", True))}
    if kind == "jumprelu":
        (rest["threshold"],) = pick(tensors, path, "threshold")
    if kind == "topk":
        rest["k"] = int(settings["k"])
        if settings.get("rescale_acts_by_decoder_norm"):
            # Activations are multiplied by the decoder's norms before the choice, and divided after: folded in here.
            norms = decoder.norm(dim=-1)
            encoder, encoder_bias, decoder = encoder * norms, encoder_bias * norms, decoder / norms[:, None]
    told: dict[str, Any] = settings.get("metadata") or settings
    where = str(told.get("hook_name") or folder)
    return Dictionary(
        encoder, decoder, encoder_bias, decoder_bias, KINDS[kind], layer=layer_in(where), **rest,  # pyright: ignore[reportArgumentType]
        facts={"format": "sae_lens", "model": told.get("model_name"), "hook": where},
    )  # fmt: skip
