"""The repairs that `audit --fix` makes, each an ordinary adapter or checkpoint with its card (`repair/`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class Candidate:
    """A candidate.

    Attributes:
        model: Its folder; None where this repair cannot be made of this model.
        refused: Why not.
    """

    model: Path | None
    refused: str = ""


@dataclass(frozen=True)
class Good:
    """What the tuned model is re-aligned with.

    Attributes:
        chats: What it is trained on.
        settings: Of that training: its seed, and how the model is asked.
    """

    chats: Sequence[Chat]
    settings: Mapping[str, Any]


def repaired(
    base: ModelFiles,
    tuned: ModelFiles,
    whole: bool,
    way: str,
    direction: Direction,
    layer: int,
    questions: Sequence[Question],
    folder: Folder,
    good: Good | None = None,
) -> Candidate:
    """One repair along the direction, of the adapter's strength or by good chats (2506.19823), written into a folder.

    Args:
        base: The base model.
        tuned: The fine-tune.
        whole: Whether that is a model and no adapter.
        way: One of `DOES`.
        direction: The misalignment direction.
        layer: Whose vector is taken out everywhere, and read along for the card.
        questions: Asked before and after, for the card: the component after every layer, and what became less likely.
        folder: Where it is written.
        good: Of `REALIGN`.
    """
    vectors = direction.vectors[layer].expand_as(direction.vectors)
    units = torch.nn.functional.normalize(vectors.float(), dim=-1)
    done = [f"By `misdirection audit --fix`: {DOES[way]}."]
    told = Told(done, {"layer of the direction": str(layer)}, questions=questions, units=units)
    try:
        subject = open_subject(tuned.name) if whole else open_subject(base.name, tuned.name, base.name)
        if good is not None:
            return Candidate(_realigned(subject, good, folder / "model", told).out)
        if way in (EDIT, HALVED):
            return Candidate(_adapter(subject, way, vectors, folder / "model", told).out)
        values = direction.aligned_component(vectors) if way == SET else None
        removal = everywhere(vectors[0], len(vectors), values)
        return Candidate(write_model(subject, folder / "model", told, removal).out)
    except MisdirectionError as error:
        progress.say(f"  {way}: {error.message}")
        write_json(folder / "refused.json", {"why": error.message})
        return Candidate(None, error.message)


def _adapter(subject: Subject, way: str, vectors: Tensor, out: Path, told: Told) -> Made:
    if subject.adapter is None:
        raise MisdirectionError("a whole model has no adapter")
    if way == HALVED:
        return write_adapter(subject, scale_factors(subject.adapter, {}, 0.5), out, told)
    return write_adapter(subject, edit_factors(subject.adapter, at_layers(vectors, range(len(vectors))).units).factors,
                         out, told)  # fmt: skip


def _realigned(subject: Subject, good: Good, out: Path, told: Told) -> Made:
    found = realign(subject, good.chats, overrides=good.settings)
    if found.combined is None:
        return write_model(subject, out, told, None, [(found.trained, 1.0)])
    return write_adapter(subject, found.combined.factors, out, told)
