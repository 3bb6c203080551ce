"""Llama Scope (Llama-3.1-8B base, JumpReLU, 2410.20526): hyperparams.json and checkpoints/final.safetensors.

Trained on activations scaled to mean norm sqrt(width). The scale sqrt(width) / mean_norm is kept as `input_scale`, and
the published scalar threshold is multiplied by it, as SAELens does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.openmoss import built
from misdirection.features.formats.tensors import read_safetensors

FILE = Path("checkpoints", "final.safetensors")


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "hyperparams.json").is_file() and (folder / FILE).is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: See `openmoss.built`.
    """
    settings, path = read_json(folder / "hyperparams.json"), folder / FILE
    held = built(settings, read_safetensors(path), path, folder)
    return replace(held, facts={"format": "llama_scope", **held.facts})
