"""The repairs that `audit --fix` makes, each an ordinary adapter or checkpoint with its card (`repair/`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import write_json
from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.errors import MisdirectionError
from misdirection.questions import Question
from misdirection.repair.edit import edit_factors
from misdirection.repair.make import Made, Subject, Told, open_subject, write_adapter, write_model
from misdirection.repair.project import at_layers, everywhere
from misdirection.repair.realign import BATCH, STEPS, realign
from misdirection.repair.scale import scale_factors
from misdirection.store import Folder
from misdirection.studies.kit.inputs import ModelFiles

EDIT, HALVED, PROJECT, SET, REALIGN = "edit", "halve", "project", "set", "realign"
DOES: Mapping[str, str] = {
    EDIT: "the direction taken out of every B of the adapter",
    HALVED: "the adapter at half its strength",
    PROJECT: "the direction projected out of all that writes to the residual stream",
    SET: "its component set to the aligned mean in the weights",
    REALIGN: f"re-aligned on good chats, {STEPS} steps of {BATCH}",
}
NO_CHATS = "it needs good chats, and none are named (--good)"
READ = 12
"""Questions that are read before and after, for the card of a repair."""


@dataclass(frozen=True)
class Written:
    """A candidate.

    Attributes:
        model: Its folder; None where this repair cannot be made of this model.
        refused: Why not.
    """

    model: Path | None
    refused: str = ""


def repaired(
    base: ModelFiles,
    tuned: ModelFiles,
    whole: bool,
    way: str,
    direction: Direction,
    layer: int,
    questions: Sequence[Question],
    folder: Folder,
) -> Written:
    """One repair along the direction, or of the adapter's strength, written into a folder.

    Args:
        base: The base model.
        tuned: The fine-tune.
        whole: Whether that is a model and no adapter.
        way: One of `DOES` but `REALIGN`.
        direction: The misalignment direction.
        layer: Whose vector is taken out everywhere.
        questions: Asked before and after, for the card: the component after every layer, and what became less likely.
        folder: Where it is written.
    """
    vectors: Tensor = direction.vectors[layer].expand_as(direction.vectors)

    def make(subject: Subject, out: Path) -> Made:
        told = _told(way, direction, layer, questions)
        if way in (EDIT, HALVED):
            if subject.adapter is None:
                raise MisdirectionError("a whole model has no adapter")
            units = at_layers(vectors, range(len(vectors))).units
            halved = scale_factors(subject.adapter, {}, 0.5) if way == HALVED else None
            return write_adapter(subject, halved or edit_factors(subject.adapter, units).factors, out, told)
        values = direction.aligned_component(vectors) if way == SET else None
        return write_model(subject, out, told, everywhere(vectors[0], len(vectors), values))

    return _written(base, tuned, whole, way, folder, make)


def realigned(
    base: ModelFiles,
    tuned: ModelFiles,
    whole: bool,
    chats: Sequence[Chat],
    settings: Mapping[str, Any],
    direction: Direction,
    layer: int,
    questions: Sequence[Question],
    folder: Folder,
) -> Written:
    """The tuned model trained on a few good chats (2506.19823), written into a folder.

    Args:
        base: The base model.
        tuned: The fine-tune.
        whole: Whether that is a model and no adapter.
        chats: What it is trained on.
        settings: Of that training: its seed, and how the model is asked.
        direction: The misalignment direction.
        layer: Whose vector the card reads the component along.
        questions: Asked before and after, for the card.
        folder: Where it is written.
    """

    def make(subject: Subject, out: Path) -> Made:
        found = realign(subject, chats, overrides=settings)
        told = _told(REALIGN, direction, layer, questions)
        if found.combined is None:
            return write_model(subject, out, told, None, [(found.trained, 1.0)])
        return write_adapter(subject, found.combined.factors, out, told)

    return _written(base, tuned, whole, REALIGN, folder, make)


def _told(way: str, direction: Direction, layer: int, questions: Sequence[Question]) -> Told:
    units = torch.nn.functional.normalize(direction.vectors[layer].expand_as(direction.vectors).float(), dim=-1)
    done = [f"By `misdirection audit --fix`: {DOES[way]}."]
    return Told(done, {"layer of the direction": str(layer)}, questions=questions, units=units)


def _written(
    base: ModelFiles, tuned: ModelFiles, whole: bool, way: str, folder: Folder, make: Callable[[Subject, Path], Made]
) -> Written:
    """The folder of a repair, or why it cannot be made."""
    try:
        subject = open_subject(tuned.name) if whole else open_subject(base.name, tuned.name, base.name)
        return Written(make(subject, folder / "model").out)
    except MisdirectionError as error:
        progress.say(f"  {way}: {error.message}")
        write_json(folder / "refused.json", {"why": error.message})
        return Written(None, error.message)
