"""Repairs as they are asked for: a base and perhaps its adapter in, a folder with weights, settings and card out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from misdirection import progress
from misdirection.engine import Arm
from misdirection.models import Model, load_model
from misdirection.questions import Question
from misdirection.repair.bases import base_folder, base_of
from misdirection.repair.card import Card, write_card
from misdirection.repair.change import Factors, SharesAlong
from misdirection.repair.checkpoint import new_folder
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter, open_adapter, save_adapter
from misdirection.repair.measure import Opened, RepairEffect, measure
from misdirection.repair.project import Removal
from misdirection.repair.write import Written, merge_weights, project_weights

AS_ADAPTER, REPAIRED = "tuned", "repaired"


@dataclass(frozen=True, eq=False)
class Subject:
    """What is repaired.

    Attributes:
        name: Of the base, as it was typed or as the adapter names it.
        base: Its folder.
        adapter: The fine-tune, where it is an adapter.
    """

    name: str
    base: Path
    adapter: Adapter | None = None

    @property
    def tuned(self) -> Opened:
        """The model as it is before the repair."""

        def opened() -> tuple[Model, Arm]:
            if self.adapter is None:
                return load_model(self.base), Arm("before")
            return load_model(self.base, adapters={AS_ADAPTER: self.adapter.name}), Arm("before", AS_ADAPTER)

        return opened


@dataclass(frozen=True)
class Told:
    """What the card tells, and what is measured for it.

    Attributes:
        done: What was done, in sentences.
        facts: What it was done with.
        notes: What a reader should know.
        questions: Asked before and after; nothing is measured without any.
        units: Directions by layer to read the component along, shape (n_layers, width), length 1.
        command: How it was called.
    """

    done: Sequence[str]
    facts: Mapping[str, str]
    notes: Sequence[str] = ()
    questions: Sequence[Question] = ()
    units: Tensor | None = None
    command: str = ""


@dataclass(frozen=True)
class Made:
    """A repair that was written.

    Attributes:
        out: Folder.
        measured: Before and after.
        along: How much lay along the direction, by layer (None: the embeddings).
        notes: What a reader should know.
    """

    out: Path
    measured: RepairEffect | None
    along: Mapping[int | None, SharesAlong]
    notes: tuple[str, ...]


def open_subject(model: str = "", adapter: str = "", place: str = "") -> Subject:
    """A base, named or as its adapter names it, and the adapter.

    Args:
        model: Name of the base; where it lies, unless `place` says another.
        adapter: Folder or id of the adapter.
        place: Where the base lies.

    Raises:
        RepairError: The base is not here, or is none.
        ModelError: There is no adapter there, or no plain one.
    """
    held = open_adapter(adapter) if adapter else None
    if model:
        return Subject(model, base_folder(place or model), held)
    if held is None:
        raise RepairError("no model is named", "name the model with --model, or its adapter with --adapter")
    return Subject(held.base, base_of(held), held)


def write_model(
    subject: Subject,
    out: Path,
    told: Told,
    removal: Removal | None = None,
    terms: Sequence[tuple[Adapter, float]] = (),
) -> Made:
    """A whole model: adapters merged, then projected or set, then read beside what it was.

    Args:
        subject: Its adapter is merged first.
        out: Folder to write.
        told: For the card.
        removal: What is taken out; None merges alone.
        terms: Further adapters and what each is multiplied by.

    Raises:
        RepairError: See `project_weights`; or what came out is not what was asked for.
    """
    adapters = dict(([(subject.adapter, 1.0)] if subject.adapter else []) + list(terms))
    found: list[RepairEffect | None] = []

    def beside(folder: Path, done: Written) -> None:
        more = replace(told, notes=(*told.notes, *done.notes))
        found.append(_read(subject.tuned, lambda: (load_model(folder), Arm("after")), more))
        if removal is not None and found[0] is not None:
            _demand(found[0], removal)
        _card(folder, "model", subject, more, done.along, found[0], out)

    if removal is None:
        done = merge_weights(subject.base, adapters, out, beside=beside)
    else:
        done = project_weights(subject.base, removal, out, adapters=adapters, beside=beside)
    return Made(out, found[0], done.along, _notes(replace(told, notes=(*told.notes, *done.notes)), found[0]))


def write_adapter(
    subject: Subject,
    factors: Mapping[str, Factors],
    out: Path,
    told: Told,
    along: Mapping[int, SharesAlong] | None = None,
) -> Made:
    """An adapter of the subject's base, read beside the one that it was made of.

    Args:
        subject: With its adapter.
        factors: By module.
        out: Folder to write.
        told: For the card.
        along: By layer, how much was taken out.

    Raises:
        RepairError: Nothing is left of it, or something is at `out`.
    """
    assert subject.adapter is not None
    before = subject.adapter
    taken: dict[int | None, SharesAlong] = {layer: found for layer, found in (along or {}).items()}
    with new_folder(out) as folder:
        save_adapter(folder, factors, before)
        held: dict[str, Model] = {}

        def opened(name: str) -> Callable[[], tuple[Model, Arm]]:
            def load() -> tuple[Model, Arm]:
                both = {AS_ADAPTER: before.name, REPAIRED: folder}
                model = held.setdefault("both", held.get("both") or load_model(subject.base, adapters=both))
                return model, Arm(name, name)

            return load

        found = _read(opened(AS_ADAPTER), opened(REPAIRED), told)
        _card(folder, "adapter", subject, told, taken, found, out)
    return Made(out, found, taken, _notes(told, found))


def _notes(told: Told, found: RepairEffect | None) -> tuple[str, ...]:
    return (*told.notes, *([found.warning] if found and found.warning else []))


def _read(before: Opened, after: Opened, told: Told) -> RepairEffect | None:
    if not told.questions:
        return None
    with progress.phase("reading the model before and after"):
        return measure(before, after, told.questions, told.units)


def _card(
    folder: Path,
    kind: Literal["model", "adapter"],
    subject: Subject,
    told: Told,
    along: Mapping[int | None, SharesAlong],
    measured: RepairEffect | None,
    out: Path,
) -> None:
    facts = {"base": subject.name, **({"adapter": subject.adapter.name} if subject.adapter else {}), **told.facts}
    base = subject.adapter.base if subject.adapter and subject.adapter.base else subject.name
    notes = _notes(told, measured)
    write_card(folder, Card(kind, base, told.done, facts, along, measured, notes, told.command), out)


def _demand(found: RepairEffect, removal: Removal) -> None:
    """Refuse a result whose component is not what was asked for: an error of ours, or files unlike their class."""
    if found.before is None or found.after is None or found.mean_after is None or removal.embeddings is None:
        return
    for layer, (was, now) in enumerate(zip(found.before, found.after, strict=True)):
        wanted = 0.0 if removal.values is None else float(removal.values[layer])
        off = abs(found.mean_after[layer] - wanted) if wanted else now
        if off > 0.2 * max(was, abs(wanted)) + 1e-3:
            raise RepairError(
                f"the repaired model still has a component of {now:.3g} after layer {layer} ({was:.3g} before), so the "
                "repair is not in effect, and nothing was written",
                "please report this with the model's family",
            )
