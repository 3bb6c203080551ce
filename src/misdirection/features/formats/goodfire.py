"""Goodfire (Llama-3.1-8B-Instruct layer 19, Llama-3.3-70B-Instruct layer 50, ReLU): one .pth or .pt file."""

from __future__ import annotations

from pathlib import Path

from misdirection.features.dictionary import Dictionary
from misdirection.features.formats.hooks import layer_of_path
from misdirection.features.formats.settings import only
from misdirection.features.formats.tensors import of_width, pick, read_torch

NAMES = ("encoder_linear.weight", "decoder_linear.weight", "encoder_linear.bias", "decoder_linear.bias")


def _file(folder: Path) -> Path | None:
    found = sorted(path for path in folder.iterdir() if path.suffix in (".pth", ".pt"))
    return found[0] if len(found) == 1 else None


def matches(folder: Path) -> bool:
    """Whether the folder holds one file of tensors and nothing that names another format."""
    return _file(folder) is not None


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: A tensor is missing or not known; the file is named after another place.
    """
    path = _file(folder)
    assert path is not None
    tensors = read_torch(path)
    weight, stored, encoder_bias, decoder_bias = pick(tensors, path, *NAMES)
    only(tensors, NAMES, path)
    return Dictionary(
        weight.T.contiguous(), of_width(stored, weight.shape[1]).contiguous(), encoder_bias, decoder_bias, "relu",
        layer=layer_of_path(path.stem), facts={"format": "goodfire"},
    )  # fmt: skip
