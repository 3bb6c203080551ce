"""Organisms that store their concepts closer together or farther apart, grown for the causal test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from misdirection.store.measurement import Folder

SMALL: Mapping[str, int | float | str] = {
    "layers": 4,
    "width": 64,
    "hidden": 192,
    "pretraining_steps": 450,
    "alignment_steps": 150,
}
"""What all of them share, by the builder's settings; a condition may change it."""

CONDITIONS: Mapping[str, Mapping[str, int | float | str]] = {
    "as it is": {},
    "narrow": {"width": 32, "hidden": 96},
    "wide": {"width": 128, "hidden": 384},
    "domains pushed apart": {"apart": 1.0},
    "stances pushed apart": {"apart": 1.0, "apart_of": "stance"},
}
"""By name, what the builder is told beyond `SMALL`."""


def grow(changed: Mapping[str, int | float | str], seed: int, folder: Folder) -> Path:
    """An organism of `SMALL` with some settings changed; gives its folder.

    Args:
        changed: Settings of the builder by name; only what differs counts in the step's key, so that a builder that
            learns a setting more finds the organisms of before.
        seed: Of its weights and its world.
        folder: Where it is written.
    """
    from misdirection.organism.build import Settings, build

    return build(folder / "organism", seed, Settings(**{**SMALL, **changed}))
