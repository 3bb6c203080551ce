"""A fine-tune over its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.training.snapshots import numbered
from misdirection.training.trajectory import checkpoint_folders, is_adapter, read_gradients


@dataclass(frozen=True)
class Course:
    """A fine-tune and its checkpoints.

    Attributes:
        name: "main", "control", or "seed-N".
        folders: Checkpoint by optimiser step, the last one included.
        gradients: Step and gradient norm.
        facts: Of the training, where it was made here.
    """

    name: str
    folders: Mapping[int, Path]
    gradients: Sequence[tuple[int, float]]
    facts: Mapping[str, Any]

    @property
    def adapters(self) -> bool:
        """Whether the checkpoints are adapters rather than whole models."""
        return all(is_adapter(folder) for folder in self.folders.values())

    @property
    def last(self) -> int:
        """The last step."""
        return max(self.folders)


def course_of(name: str, folder: Path) -> Course:
    """The course of a fine-tune that a run made: its last state is in `tuned/`, the others in `checkpoints/`."""
    told = read_json(folder / "training.json")
    folders = dict(numbered(folder / "checkpoints"))
    folders[int(told["steps"])] = folder / "tuned"
    return Course(name, folders, read_gradients(folder), told)


def course_in(folder: str) -> Course:
    """The course of a fine-tune made elsewhere, from the folder of its checkpoints."""
    return Course("main", checkpoint_folders(folder), read_gradients(folder), {})
