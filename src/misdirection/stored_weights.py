"""The weights of a model's folder as they are stored, by the headers of its files: names, types and shapes.

Torch is not needed for it, so that sizes are known before anything is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HEADS = ("lm_head.weight", "embed_out.weight")
_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "word_embeddings.weight", "embeddings.weight")


def stored_tensors(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The stored tensors by name, without the head where it is tied to the embeddings and stored all the same.

    Args:
        folder: Of a model.
        config: What its config.json holds.
    """
    held = {name: entry for file in _weight_files(folder) for name, entry in _header(file).items()}
    heads = [name for name in held if name.endswith(_HEADS)]
    embeddings = [held[name]["shape"] for name in held if name.endswith(_EMBEDDINGS)]
    if heads and held[heads[0]]["shape"] in embeddings and _is_tied(folder, config):
        del held[heads[0]]
    return held


def _is_tied(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether one matrix is embeddings and head, by the configuration or by what its family does without a word."""
    text: Mapping[str, Any] = config.get("text_config") or {}
    told = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    if told is not None:
        return bool(told)
    from transformers import AutoConfig

    try:
        found: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception:
        # Code of the model's own: loading asks for it.
        return False
    return bool(getattr(found, "tie_word_embeddings", False))


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads: one, or the shards of the index; else all but Mistral's second copy."""
    one, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if one.exists():
        return [one]
    if index.exists():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [file for name in sorted(shards) if (file := folder / name).exists()]
    return [file for file in sorted(folder.glob("*.safetensors")) if not file.name.startswith("consolidated")]


def _header(file: Path) -> dict[str, Any]:
    """Type, shape and place of each tensor of a safetensors file; nothing where it is damaged: loading says so."""
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > file.stat().st_size:
                return {}
            held = json.loads(handle.read(length))
    except ValueError:
        return {}
    return {name: entry for name, entry in held.items() if name != "__metadata__"}
