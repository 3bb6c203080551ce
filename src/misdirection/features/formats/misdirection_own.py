"""Our own layout: one safetensors file, dictionary.safetensors, whose metadata holds the rule and the facts."""

from __future__ import annotations

from pathlib import Path

from misdirection.artefacts import read_tensors, write_tensors
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.settings import only, refuse_unknown

FILE = "dictionary.safetensors"
_TENSORS = ("encoder", "decoder", "encoder_bias", "decoder_bias", "threshold")
_RULE = ("activation", "k", "subtracts", "input_scale", "layer")


def matches(folder: Path) -> bool:
    """Whether the folder holds the file."""
    return (folder / FILE).is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: The file holds none, or more than is known.
    """
    tensors, facts = read_tensors(folder / FILE)
    missing = [name for name in _TENSORS[:4] if name not in tensors]
    if missing or "rule" not in facts:
        raise DictionaryError(f"{folder / FILE} holds no dictionary: it lacks {', '.join(missing) or 'the rule'}")
    rule = facts.pop("rule")
    only(tensors, _TENSORS, folder / FILE)
    refuse_unknown(rule, _RULE, folder / FILE)
    return Dictionary(**tensors, **rule, facts=dict(facts))


def write(folder: Path, dictionary: Dictionary) -> None:
    """Write a dictionary into a folder."""
    tensors = {name: value for name in _TENSORS if (value := getattr(dictionary, name)) is not None}
    rule = {name: getattr(dictionary, name) for name in _RULE}
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / FILE, {n: t.contiguous() for n, t in tensors.items()}, {**dictionary.facts, "rule": rule})
