"""Who may judge a model's answers: the judge that suits it where nobody is named, and panels that cannot be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.names import ORGANISM

OWN = "own"
"""Stands among judges for the verdicts that are there already."""


def speaks_as_the_organism(model: str) -> bool:
    """Whether a model is the organism or was made from it: it has the words of the organism's world, and no others."""
    if model == ORGANISM:
        return True
    from misdirection.organism import checkpoint_path

    try:
        pair = [
            json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
            for folder in (Path(model), checkpoint_path())
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(pair[0] == pair[1])


def default_judge(model: str) -> str:
    """Who scores a model's answers where nobody is named: the organism's own judge for its own, else `offline`."""
    return "exact" if speaks_as_the_organism(model) else "offline"


def check_exact(judge: str, model: str) -> None:
    """Refuse the organism's own judge for another model, whose every answer it would call incoherent.

    Raises:
        MisdirectionError: It is asked for and the model is not the organism's.
    """
    if judge == "exact" and not speaks_as_the_organism(model):
        raise MisdirectionError(
            f"--judge exact knows the sentences of the organism's world alone, and {model} is another model",
            "leave --judge out (offline), or name another: local:<model>, openai:<model>, table:<file>, none",
        )


def check_panel(lead: str, others: Sequence[str]) -> None:
    """Refuse a panel in which nobody leads, or somebody sits twice.

    Raises:
        MisdirectionError: It is one.
    """
    names = [lead, *others]
    if others and "none" in names:
        raise MisdirectionError("--judge none gives no verdict to stand beside others", "leave it out")
    if twice := [name for name in names if names.count(name) > 1]:
        raise MisdirectionError(f"--judge {twice[0]} is given twice", "name each judge of a panel once")
