"""What the commands of `misdirection repair` share: the subject and its direction, the card, and what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from misdirection import progress
from misdirection.cli.derive import several
from misdirection.cli.printing import printed
from misdirection.cli.show import link, note, onward, table
from misdirection.cli.studies import command_line
from misdirection.errors import MisdirectionError, command
from misdirection.studies.kit.known_model import known_model

if TYPE_CHECKING:
    from torch import Tensor

    from misdirection.directions import Direction
    from misdirection.questions import Question
    from misdirection.repair.make import Made, Subject, Told

MOST = 12
"""Questions that are read."""


def resolved(model: str) -> str:
    """Where a model lies; "" where none is named."""
    from misdirection.studies.kit.names import resolve_model

    return resolve_model(model) if model else ""


def layer_and_factor(text: str) -> tuple[int, float]:
    """What LAYER=FACTOR says.

    Raises:
        typer.BadParameter: It is none.
    """
    layer, sign, by = text.partition("=")
    try:
        if not sign:
            raise ValueError(text)
        return int(layer), float(by)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no LAYER=FACTOR", param_hint="--factor") from error


def subject_of(model: str, adapter: str, file: Path, any_base: bool) -> tuple[Subject, Direction, list[str]]:
    """What is repaired, the direction, and what a reader should know of it; by default the direction's own model."""
    from misdirection.directions import read_direction
    from misdirection.repair.bases import demand_same_base
    from misdirection.repair.checkpoint import open_checkpoint
    from misdirection.repair.make import open_subject
    from misdirection.repair.places import layout_of

    if not (model or adapter) and (known := known_model(str(file))) is not None:
        tuned = known.as_tuned
        progress.say(f"  {tuned.told}")
        model, adapter = tuned.model, tuned.adapter or ""
    subject = open_subject(model, adapter, resolved(model))
    layout = layout_of(open_checkpoint(subject.base), exact=False)
    found = read_direction(file, layout.n_layers, layout.width)
    if any_base:
        return subject, found, ["whether the direction was found in this base was not checked (--any-base)"]
    names = [subject.name, str(subject.base), subject.adapter.base if subject.adapter else ""]
    told = demand_same_base(found.facts, str(file), *names)
    return subject, found, [told] if told else []


def vectors_of(found: Direction, layer: int | None, file: Path) -> tuple[Tensor, str]:
    """The vector of each layer, or one layer's for all, and what to call it."""
    if layer is None:
        return found.vectors, "Each layer's own vector"
    if layer not in found.layers:
        held = ", ".join(map(str, found.layers))
        raise MisdirectionError(f"{file} holds no direction at layer {layer}", f"it holds one at {held}")
    return found.vectors[layer].expand_as(found.vectors), f"Layer {layer}'s vector"


def told_of(
    done: Sequence[str],
    file: Path | None,
    subject: Subject,
    notes: Sequence[str],
    questions: list[str] | None,
    measuring: bool,
    vectors: Tensor | None = None,
    facts: dict[str, str] | None = None,
) -> Told:
    """What the card tells, and what is measured for it."""
    import torch

    from misdirection.artefacts import file_hash
    from misdirection.repair.make import Told

    held = dict(facts or {})
    if file is not None:
        held["direction"] = f"{file} (sha256 {file_hash(file)[:16]})"
    units = None if vectors is None else torch.nn.functional.normalize(vectors.float(), dim=-1)
    asked = _questions(questions, subject) if measuring else ()
    return Told(done, held, tuple(notes), asked, units, command_line())


def _questions(specs: list[str] | None, subject: Subject) -> Sequence[Question]:
    """Questions to read: those that are named, those that the model's folder recommends, or the open ones."""
    from misdirection.organism import checkpoint_path
    from misdirection.studies.kit.inputs import resolve_questions

    own = subject.base.resolve() == Path(checkpoint_path()).resolve()
    named = several(specs, str, "--questions") or (("organism:open",) if own else ("open",))
    return resolve_questions(named)[:MOST]


def ended(made: Made, flag: str, subject: Subject, json: bool) -> None:
    """What was measured, what a reader should know, where the result lies, and what could follow."""
    along = [{"layer": layer, "share": part.share} for layer, part in made.along.items()]
    found = {"repaired": made.out, "measured": made.measured, "along": along, "notes": made.notes}
    printed(found, json, lambda: _show(made, flag, subject))


def _show(made: Made, flag: str, subject: Subject) -> None:
    found = made.measured
    if found is not None and found.before and found.after:
        pairs = enumerate(zip(found.before, found.after, strict=True))
        rows = [[str(layer), f"{before:.4g}", f"{after:.4g}"] for layer, (before, after) in pairs]
        table(["after layer", "component before (root mean square)", "after"], rows)
    if found is not None:
        fall = found.likelihood_before - found.likelihood_after
        note(f"its answers to {found.questions} questions are {fall:.3f} nats a token less likely; {found.same} stay")
    for told in made.notes:
        note(f"note: {told}")
    link("repaired", made.out)
    audited = ("audit", "--model", subject.name, flag, made.out, "--out", "runs/after")
    onward("what it answers now", command(*audited))
