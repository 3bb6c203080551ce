"""How many positions a text model was made for, read off its configuration: one rule for files and loaded models.

Torch is not needed for it, so that a length that does not fit is found before anything is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
_TEXT = ("text_config", "thinker_config", "llm_config", "language_config")
"""Names of a wrapper's configuration of its text part."""

_STRETCHED = ("linear", "dynamic", "yarn")


def positions_of(config: Any) -> int | None:
    """Positions that a text configuration was made for, None where it names none (Mamba, RWKV, ALiBi).

    Scaled rotary positions count as scaled: YaRN, linear and dynamic scaling stretch the original number by their
    factor, where the configuration does not say the longer number already. Llama 3's and LongRoPE's scaling say the
    longer number themselves.

    Args:
        config: A transformers configuration of a text model, or the same as a mapping, as config.json holds it.
    """
    found = next((size for name in _NAMES if isinstance(size := _read(config, name), int) and size > 0), None)
    if found is None or _read(config, "alibi"):
        return None
    rope = _read(config, "rope_parameters") or _read(config, "rope_scaling")
    if not isinstance(rope, Mapping):
        return found
    scaling = cast("Mapping[str, Any]", rope)
    kind = str(scaling.get("rope_type") or scaling.get("type"))
    factor = scaling.get("factor")
    if kind not in _STRETCHED or not isinstance(factor, int | float):
        return found
    original = scaling.get("original_max_position_embeddings")
    return max(found, int((original if isinstance(original, int) else found) * factor))


def positions_in(folder: str | Path) -> int | None:
    """Positions of a model in a local folder, None where it is none or names none."""
    try:
        held: Any = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return positions_of(text_settings(held)) if isinstance(held, Mapping) else None


def text_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the text part of a model's config.json; of one that reads text alone, all of them."""
    for name in _TEXT:
        if isinstance(inner := config.get(name), Mapping):
            return text_settings(cast("Mapping[str, Any]", inner))
    return config


def _read(config: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", config).get(name) if isinstance(config, Mapping) else getattr(config, name, None)
