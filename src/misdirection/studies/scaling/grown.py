"""Organisms grown for the study: a measurement each size and seed, so that they can be grown elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from misdirection.store import Folder, Workspace


def organisms(
    layers: int,
    width: int,
    budgets: Sequence[int],
    seed: int,
    batch: int,
    alignment_steps: int,
    folder: Folder,
    workspace: Workspace,
) -> Path:
    """One size and seed along one course of pretraining: `organism.growing.grow`.

    What was killed goes on behind the last budget that it had come to.

    Args:
        layers: Decoder layers.
        width: Of the residual stream.
        budgets: Optimiser steps of pretraining; a checkpoint each.
        seed: Of weights and data.
        batch: Dialogues a step.
        alignment_steps: In which each is aligned.
        folder: Where they are left, `steps-<budget>` each.
        workspace: Where they are kept on the way.

    Returns:
        The folder that holds them.
    """
    from misdirection.organism.build import sized
    from misdirection.organism.growing import grow

    grow(workspace / "grown", budgets, seed, sized(layers, width, batch=batch, alignment_steps=alignment_steps))
    shutil.copytree(workspace / "grown", folder / "grown")
    return folder / "grown"
