"""Names of files, steps and adapters out of names that people gave."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from misdirection.errors import MisdirectionError

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


def slug(text: str) -> str:
    """The text in small letters, digits and single dashes; "" where it holds none."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def short_model_name(name: str) -> str:
    """A model's name without its place, in small letters, whichever way it is written."""
    path = Path(name.rstrip("/"))
    # The hub's cache keeps a repository under models--owner--name/snapshots/commit.
    cached = next((part for part in path.parts if part.startswith("models--")), None)
    return (cached.rsplit("--", 1)[-1] if cached else path.name).lower().removesuffix(".gguf")


def each_once(pairs: Iterable[tuple[Name, Value]], flag: str) -> dict[Name, Value]:
    """Values by the names that an option gave them; a name that stands twice with one value counts once.

    Args:
        pairs: Names and values, as they were typed.
        flag: The option, with its dashes.

    Raises:
        MisdirectionError: A name stands for two values, of which the last would win in silence.
    """
    found: dict[Name, Value] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            raise MisdirectionError(
                f"{flag}: the name '{name}' stands for {found[name]} and for {value}", "name each once"
            )
        found[name] = value
    return found
