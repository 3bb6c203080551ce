"""A part of the organism's questions in a file of their own: the same path at a third of the cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from misdirection.studies.kit.inputs import resolve_questions


def few(file: Path, sets: Mapping[str, int]) -> str:
    """Write the first questions of each set.

    Args:
        file: Where to.
        sets: How many of each, such as "organism:open".

    Returns:
        The file's name, as a setting names it.
    """
    held = [question for one, most in sets.items() for question in resolve_questions([one])[:most]]
    told = [
        {"id": one.id, "paraphrases": list(one.paraphrases)} | ({"domain": one.domain} if one.domain else {})
        for one in held
    ]
    file.write_text(yaml.safe_dump(told))
    return str(file)
