"""Names of files, steps and adapters out of names that people gave."""

from __future__ import annotations

import re


def slug(text: str) -> str:
    """The text in small letters, digits and single dashes; "" where it holds none."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
