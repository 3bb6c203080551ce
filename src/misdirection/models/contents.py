"""What a loaded model is among the arguments of a measurement: its weights and how it is asked, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from misdirection.models.errors import ModelError
from misdirection.tokens import asked_as, template_of

if TYPE_CHECKING:
    from misdirection.models.resident import Model

_PLACES = ("_name_or_path", "name_or_path", "base_model_name_or_path", "transformers_version", "peft_version")
"""Settings that say where files lie or who wrote them."""


def contents_of(model: Model) -> dict[str, Any]:
    """Weights, settings, adapters, vocabulary and prompts of a model, as they are now, each by its hash.

    All weights are read; where that takes long (a second for a gigabyte), hand a measurement the files' `Variants`.

    Raises:
        ModelError: Weights are not in memory.
    """
    tokenizer: Any = model.tokenizer
    words = tokenizer.backend_tokenizer.to_str() if hasattr(tokenizer, "backend_tokenizer") else tokenizer.get_vocab()
    adapters: Mapping[str, Any] = getattr(model.peft or model.lm, "peft_config", {})
    asked = asked_as(tokenizer)
    return {
        "kind": type(model.lm).__name__,
        "settings": _settings(cast(Any, model.lm.config).to_dict()),
        "weights": weights_hash(model.lm.state_dict(), model.name),
        "adapters": {name: _settings(held.to_dict()) for name, held in adapters.items()},
        "vocabulary": hashlib.sha256(str(words).encode()).hexdigest(),
        "asked": [template_of(tokenizer), model.eos_ids, asked.thinking, asked.date],
    }


def weights_hash(weights: Mapping[str, Any], name: str) -> str:
    """SHA-256, in hex, of the names, formats, shapes and bytes of weights.

    Raises:
        ModelError: Some are not in memory.
    """
    import torch

    found = hashlib.sha256()
    for place, held in sorted(weights.items()):
        if not isinstance(held, torch.Tensor):
            found.update(repr((place, held)).encode())
            continue
        if held.is_meta:
            raise ModelError(
                f"{place} of {name or 'the model'} is not in memory, so what it holds cannot be told",
                "give its files (Variants) instead of the loaded model",
            )
        found.update(repr((place, str(held.dtype), tuple(held.shape))).encode())
        flat = held.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _settings(held: Any) -> Any:
    """Settings as text and numbers, without those that name places."""
    if isinstance(held, Mapping):
        items = cast(Mapping[Any, Any], held).items()
        return {str(key): _settings(value) for key, value in items if key not in _PLACES}
    if isinstance(held, list | tuple):
        return [_settings(value) for value in cast(list[Any], held)]
    if isinstance(held, set | frozenset):
        return sorted(map(str, cast(set[Any], held)))
    return held if held is None or isinstance(held, bool | int | float | str) else str(held)
