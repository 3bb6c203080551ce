"""Arguments as they stand in a key: by what they hold, never by where they lie or how they are called."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import canonical, file_hash
from misdirection.errors import MisdirectionError
from misdirection.store.measurement import named, place_of

LONGEST = 2000
"""Characters of an argument as JSON above which its hash stands for it in the key and among the inputs."""

READABLE = 100_000
"""Characters up to which such an argument stands in the manifest beside its inputs, for readers."""


def content(name: str, value: Any) -> Any:
    """An argument as JSON that is equal for equal content alone.

    Files count by their bytes, and so does text that names one; a judge by its name, which holds its version; functions
    by their place and version; dataclasses by their fields, those aside that are marked `INCIDENTAL`, or `LATER` and
    at their default; mappings in their order; all else as in `artefacts.canonical_hash`.

    Raises:
        MisdirectionError: It cannot be told apart from others by its content; the message names the place.
    """
    found, text = _written(name, value)
    return found if len(text) <= LONGEST else {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def whole(name: str, value: Any) -> Any:
    """An argument that stands as a hash in its key, as it is; None where it is too long to be read by a person."""
    found, text = _written(name, value)
    return found if len(text) <= READABLE else None


def _written(name: str, value: Any) -> tuple[Any, str]:
    """The content of an argument as JSON and as its text."""
    try:
        found = canonical(_told(value), f"the argument '{name}'")
    except MisdirectionError as error:
        if "which cannot be written as JSON" not in error.message:
            raise
        raise MisdirectionError(
            f"{error.message.removesuffix(', which cannot be written as JSON')}, whose content cannot be told",
            "pass what it is made from, give it a method __canonical__ that returns its content, or mark the parameter "
            "Incidental where it changes no result",
        ) from error
    return found, json.dumps(found, sort_keys=True, separators=(",", ":"))


def _told(value: Any) -> Any:
    """The value with what counts by other things than its fields replaced, at any depth."""
    if isinstance(value, str):
        return {"text": value, "content": file_hash(value)} if _is_file(value) else value
    if isinstance(value, Path):
        return {"file": file_hash(value)}
    if value is None or isinstance(value, bool | int | float) or hasattr(value, "__canonical__"):
        return value
    if inspect.isfunction(value):
        return {"function": [place_of(value), *named(value)]}
    if callable(getattr(value, "judge", None)) and isinstance(getattr(value, "name", None), str):
        return {"judge": value.name}
    if is_dataclass(value) and not isinstance(value, type):
        counted = [one for one in fields(value) if _counts(one, getattr(value, one.name))]
        return {"__class__": type(value).__name__, **{one.name: _told(getattr(value, one.name)) for one in counted}}
    if isinstance(value, Mapping):
        # In their order, which a function may follow.
        return {"__items__": [[key, _told(held)] for key, held in cast(Mapping[Any, Any], value).items()]}
    if isinstance(value, list | tuple):
        return [_told(held) for held in cast(list[Any], value)]
    return value


def _counts(field: Field[Any], value: Any) -> bool:
    """Whether a field is part of a key; one that came later is not at its default: older runs keep their steps."""
    return not (field.metadata.get("incidental") or (field.metadata.get("later") and value == field.default))


def _is_file(text: str) -> bool:
    """Whether a text names a file, or the folder of a model or adapter: then what stands there counts as well."""
    if len(text) > 1000 or not ("/" in text or "." in text or "\\" in text) or "\n" in text:
        return False
    path = Path(text)
    try:
        return path.is_file() or any((path / name).is_file() for name in ("config.json", "adapter_config.json"))
    except (OSError, ValueError):
        return False
