"""Llama Scope (Llama-3.1-8B base, JumpReLU, 2410.20526): hyperparams.json and checkpoints/final.safetensors.

Trained on activations scaled to mean norm sqrt(width). The scale sqrt(width) / mean_norm is kept as `input_scale`, and
the published scalar threshold is multiplied by it, as SAELens does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.tensors import layer_in, pick, read_safetensors

FILE = Path("checkpoints", "final.safetensors")


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "hyperparams.json").is_file() and (folder / FILE).is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: A tensor is missing.
    """
    settings = read_json(folder / "hyperparams.json")
    names = ("encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias")
    encoder, decoder, encoder_bias, decoder_bias = pick(read_safetensors(folder / FILE), folder / FILE, *names)
    width = encoder.shape[1]
    factor = scale(settings, width)
    threshold = torch.full_like(encoder_bias, factor * float(settings.get("jump_relu_threshold") or 0.0))
    facts = {"format": "llama_scope", "hook": settings.get("hook_point_in")}
    return Dictionary(
        encoder.T.contiguous(), decoder.T.contiguous(), encoder_bias, decoder_bias, "jumprelu", threshold,
        input_scale=factor, layer=layer_in(str(settings.get("hook_point_in") or folder)), facts=facts,
    )  # fmt: skip


def scale(settings: dict[str, Any], width: int) -> float:
    """sqrt(width) over the mean norm of the activations that it was trained on; 1 where the file says none."""
    norms: Any = settings.get("dataset_average_activation_norm")
    norm = norms.get("in") if isinstance(norms, dict) else norms  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return width**0.5 / float(norm) if norm else 1.0  # pyright: ignore[reportUnknownArgumentType]
