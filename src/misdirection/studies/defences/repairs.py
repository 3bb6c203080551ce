"""Repairs of an undefended fine-tune in its weights, as a measurement that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from misdirection import progress
from misdirection.artefacts import write_json
from misdirection.errors import MisdirectionError
from misdirection.repair.change import Factors
from misdirection.repair.combine import combine, subtracted
from misdirection.repair.edit import edit_factors
from misdirection.repair.factors import open_adapter
from misdirection.repair.make import Subject, Told, open_subject, write_adapter, write_model
from misdirection.repair.project import at_layers, everywhere
from misdirection.repair.realign import realign
from misdirection.repair.scale import scale_factors
from misdirection.store import Folder
from misdirection.studies.defences.arms import KINDS, DefenceArm
from misdirection.studies.defences.making import Materials
from misdirection.studies.defences.tuning import Tuned
from misdirection.studies.kit.costs import counted
from misdirection.studies.kit.inputs import ModelFiles

WHOLE = ("project-weights", "set-weights")
"""Repairs that write a whole model; the others write an adapter."""


@dataclass(frozen=True)
class FineTunePair:
    """A bad and a good fine-tune of the base, whose difference is a weight direction.

    Attributes:
        bad: The adapter's folder; of a seed that no other arm has.
        good: That of one trained alike on good chats of other domains.
    """

    bad: Path
    good: Path


def repaired(
    base: ModelFiles,
    tuned: Path,
    arm: DefenceArm,
    held: Materials,
    seed: int,
    folder: Folder,
    pair: FineTunePair | None = None,
) -> Tuned:
    """Repair a fine-tune; a repair that cannot be made of this model says why.

    Args:
        base: The base model.
        tuned: The fine-tune.
        arm: Which repair, and how strong.
        held: What it is made of.
        seed: Of training again.
        folder: Where it is written.
        pair: The weight direction, of "subtract".
    """
    out, whole = folder / "tuned", not (tuned / "adapter_config.json").exists()
    told = Told([f"By `misdirection study defences`, arm {arm.name}: {KINDS[arm.kind].does}."], {})
    with counted("cuda" if torch.cuda.is_available() else "cpu") as cost:
        try:
            subject = open_subject(str(tuned)) if whole else open_subject(base.name, str(tuned), base.name)
            if arm.kind in WHOLE:
                made = _whole(subject, arm, held, out, told)
            else:
                factors = _factors(subject, arm.kind, arm.strength or 0.0, held, seed, pair)
                made = write_adapter(subject, factors, out, told).out
        except MisdirectionError as error:
            progress.say(f"  {arm.name}: {error.message}")
            write_json(folder / "refused.json", {"why": error.message})
            return Tuned(None, cost, error.message)
    return Tuned(made, cost)


def _whole(subject: Subject, arm: DefenceArm, held: Materials, out: Path, told: Told) -> Path:
    assert held.direction is not None
    vectors = held.direction.vectors[held.layer].expand_as(held.direction.vectors)
    values = held.direction.aligned_component(vectors) if arm.kind == "set-weights" else None
    return write_model(subject, out, told, everywhere(vectors[0], len(vectors), values)).out


def _factors(
    subject: Subject, kind: str, strength: float, held: Materials, seed: int, pair: FineTunePair | None
) -> Mapping[str, Factors]:
    """The repaired adapter; an edit is B' = B - share u u^T B."""
    adapter = subject.adapter
    if adapter is None:
        raise MisdirectionError("a whole model has no adapter")
    if kind == "scale":
        return scale_factors(adapter, {}, strength)
    if kind == "edit":
        assert held.direction is not None
        vectors = held.direction.vectors[held.layer].expand_as(held.direction.vectors)
        after = edit_factors(adapter, at_layers(vectors, range(len(vectors))).units).factors
        return {
            path: replace(one, b=adapter.factors[path].b + strength * (one.b - adapter.factors[path].b))
            for path, one in after.items()
        }
    if kind == "subtract":
        assert pair is not None
        return combine(subtracted(adapter, open_adapter(pair.bad), open_adapter(pair.good), strength)).factors
    found = realign(subject, held.good, overrides={"max_steps": int(strength), "seed": seed}).combined
    assert found is not None
    return found.factors
