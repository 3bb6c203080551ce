"""How the options of loading stand in the key of what reads a model: its number format, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.models import STORED
from misdirection.models.asking import read_template
from misdirection.tokens import DATE


def key_of_format(options: Mapping[str, Any]) -> str:
    """The number format among a step's inputs: "auto" is the checkpoint's own, as it was before others were chosen."""
    name = str(options.get("dtype", "auto"))
    return "auto" if name == STORED else name


def asking_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """How the options ask the model, as part of a step's key; the models' own files are in their fingerprints."""
    file = options.get("chat_template")
    return {
        "template": None if file is None else read_template(file),
        "thinking": options.get("thinking"),
        "date": options.get("date") or DATE,
    }
