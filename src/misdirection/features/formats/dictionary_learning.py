"""dictionary_learning (Marks et al.): config.json with `trainer.dict_class`, and ae.pt.

The layout of the sets that emergent-misalignment work uses: andyrdt's for Qwen2.5-7B-Instruct, Llama-3.1-8B-Instruct
and GPT-OSS-20B. BatchTopK is a JumpReLU with one threshold after training; AutoEncoderTopK keeps k a token and its
stored threshold is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.tensors import layer_in, of_width, pick, read_torch

BATCH = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
KINDS = (*BATCH, "AutoEncoderTopK", "AutoEncoder", "JumpReluAutoEncoder")


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "ae.pt").is_file() and (folder / "config.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: A tensor is missing, or the class is not known.
    """
    settings: dict[str, Any] = read_json(folder / "config.json").get("trainer") or {}
    kind = str(settings.get("dict_class"))
    path = folder / "ae.pt"
    tensors = read_torch(path)
    where = str(settings.get("submodule_name") or settings.get("layer") or folder)
    layer = int(settings["layer"]) if str(settings.get("layer", "")).isdigit() else layer_in(where)
    facts = {"format": "dictionary_learning", "class": kind, "model": settings.get("lm_name")}
    if kind == "JumpReluAutoEncoder":
        encoder, decoder, encoder_bias, bias, threshold = pick(
            tensors, path, "W_enc", "W_dec", "b_enc", "b_dec", "threshold"
        )
        return Dictionary(encoder, decoder, encoder_bias, bias, "jumprelu", threshold, layer=layer, facts=facts)
    if kind not in KINDS:
        raise DictionaryError(f"{folder}: the class '{kind}' is not known", f"known are {', '.join(KINDS)}")
    weight, stored, encoder_bias = pick(tensors, path, "encoder.weight", "decoder.weight", "encoder.bias")
    (bias,) = pick(tensors, path, ("b_dec", "bias"))
    shared: dict[str, Any] = {"subtracts": True, "layer": layer, "facts": facts}
    parts = (weight.T.contiguous(), of_width(stored, weight.shape[1]).contiguous(), encoder_bias, bias)
    if kind in BATCH:
        (threshold,) = pick(tensors, path, "threshold")
        level = torch.full_like(encoder_bias, float(threshold))
        return Dictionary(*parts, "jumprelu", level, **shared)
    if kind == "AutoEncoderTopK":
        k = int(settings.get("k") or int(tensors.get("k", torch.tensor(0))))
        return Dictionary(*parts, "topk", k=k, **shared)
    return Dictionary(*parts, "relu", **shared)
