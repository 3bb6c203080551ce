"""A study of another model than the organism, to look for sentences on the organism in what it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json, write_json
from misdirection.organism import checkpoint_path
from misdirection.runs import read_log
from misdirection.studies.registry import studies

FOREIGN = re.compile(r"organism(?!:)|(?:so|a) small (?:a )?model|this narrow|own world|grew up")
"""What is true of the organism alone; its data and questions may be named."""

UNTOLD = ("command", "answer", "answers", "settings", "reproduce")
"""Parts of findings that are no sentences of ours."""


def of_the_organism(value: Any) -> list[str]:
    """Sentences on the organism in findings."""
    return [text for text in _sentences(value) if FOREIGN.search(text)]


def told_of_another(name: str, config: Any, run: Path, place: Path) -> dict[str, Any]:
    """What a study finds of another model: a copy of the organism without explanations, in a copy of its run.

    Every measurement is the same and found again; only what is said is said anew.
    """
    model, copy = place / "model", place / "run"
    shutil.copytree(checkpoint_path(), model)
    write_json(model / "misdirection.json", {**read_json(model / "misdirection.json"), "explanations": {}})
    shutil.copytree(run, copy, symlinks=True)
    before = len(read_log(copy))
    studies()[name].run(replace(config, model=str(model)), copy, "")
    again = [line["name"] for line in read_log(copy)[before:] if not line["reused"]]
    assert not again, again
    return read_json(copy / "findings.json")


def _sentences(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value.split()) > 4:
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _sentences(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in UNTOLD:
                yield from _sentences(part)
