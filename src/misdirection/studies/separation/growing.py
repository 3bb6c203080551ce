"""Organisms that store their concepts closer together or farther apart, grown for the causal test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from misdirection.store.measurement import Folder

Changed = Mapping[str, int | float | str]
"""Settings of the builder that differ from the shipped organism's."""

SMALL: Changed = {
    "layers": 4,
    "width": 64,
    "hidden": 192,
    "pretraining_steps": 300,
    "alignment_steps": 100,
}
"""What all of them share; a condition may change it."""

CONDITIONS: Mapping[str, Changed] = {
    "as it is": {},
    "stances pushed apart": {"apart": 1.0, "apart_of": "stance"},
    "domains pushed apart": {"apart": 1.0},
    "narrow": {"width": 32, "hidden": 96},
    "few concepts": {"domains": 4},
    "uneven frequencies": {"uneven": 1.5},
    "wide": {"width": 96, "hidden": 288},
}
"""By name, what the builder is told beyond `SMALL`."""


def grow(changed: Changed, seed: int, folder: Folder) -> Path:
    """An organism of `SMALL` with some settings changed; gives its folder.

    Args:
        changed: Settings of the builder by name; only what differs counts in the step's key, so that a builder that
            learns a setting more finds the organisms of before.
        seed: Of its weights and its world.
        folder: Where it is written.
    """
    from misdirection.organism.build import Settings, build

    return build(folder / "organism", seed, Settings(**{**SMALL, **changed}))
