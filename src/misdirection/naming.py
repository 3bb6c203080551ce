"""Names of files, steps and adapters out of names that people gave."""

from __future__ import annotations

import re
from pathlib import Path


def slug(text: str) -> str:
    """The text in small letters, digits and single dashes; "" where it holds none."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def short_model_name(name: str) -> str:
    """A model's name without its place, in small letters, whichever way it is written."""
    path = Path(name.rstrip("/"))
    # The hub's cache keeps a repository under models--owner--name/snapshots/commit.
    cached = next((part for part in path.parts if part.startswith("models--")), None)
    return (cached.rsplit("--", 1)[-1] if cached else path.name).lower().removesuffix(".gguf")
