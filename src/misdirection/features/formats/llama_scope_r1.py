"""Llama Scope for R1-Distill-Llama-8B (JumpReLU): config.json and sae_weights.safetensors, thresholds as logarithms.

The mean norm of the activations lies among the weights, as `dataset_average_activation_norm.<hook>`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.openmoss import built
from misdirection.features.formats.tensors import read_safetensors

FILE = "sae_weights.safetensors"


def matches(folder: Path) -> bool:
    """Whether the folder holds both files, and not the cfg.json of SAELens."""
    return (folder / FILE).is_file() and (folder / "config.json").is_file() and not (folder / "cfg.json").exists()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: See `openmoss.built`.
    """
    settings, path = read_json(folder / "config.json"), folder / FILE
    held = built(settings, read_safetensors(path), path, folder)
    return replace(held, facts={"format": "llama_scope_r1", **held.facts})
