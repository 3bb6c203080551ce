"""A removal in the weights of a whole model, an adapter merged into them first where one is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from misdirection.repair.change import SharesAlong, TensorChange
from misdirection.repair.checkpoint import Edit, open_checkpoint, rewrite
from misdirection.repair.factors import Adapter, copy_beside
from misdirection.repair.merge import by_tensor
from misdirection.repair.places import Layout, layout_of
from misdirection.repair.project import Removal, plan


@dataclass
class Written:
    """What was done to a model's weights.

    Attributes:
        layout: Of the model.
        along: By layer (None: the embeddings), how much of what writes lay along the direction.
        tensors: How many were changed.
        notes: What a reader should know.
    """

    layout: Layout
    along: dict[int | None, SharesAlong] = field(default_factory=dict[int | None, SharesAlong])
    tensors: int = 0
    notes: tuple[str, ...] = ()


def project_weights(
    model: str | Path,
    removal: Removal,
    out: str | Path,
    *,
    adapters: Mapping[Adapter, float] | None = None,
    beside: Callable[[Path, Written], None] | None = None,
) -> Written:
    """Write a model whose weights do not write along a direction, or set the component along it.

    One pass over the weights, shard by shard; the result is an ordinary folder of transformers.

    Args:
        model: Folder of the whole model.
        removal: See `project.everywhere` and `project.at_layers`.
        out: Folder to write, which must not be there.
        adapters: PEFT adapters that are merged first, times a factor.
        beside: Writes a card into the folder that it is given.

    Raises:
        RepairError: The family cannot be repaired exactly, the direction does not fit, or `out` is there.
        ModelError: The folder is no whole model.
    """
    source = open_checkpoint(model)
    layout = layout_of(source)
    made = plan(removal, layout, source)
    changes = _merged(made.changes, by_tensor(source, layout.family, adapters or {}))
    done = Written(layout, notes=made.notes)
    layers = {place.name: place.layer for place in layout.places}
    rewrite(
        source,
        Path(out),
        {name: _edit(change, done, layers.get(name)) for name, change in changes.items()},
        added=made.added,
        copies=made.copies,
        settings={**source.settings, **made.settings},
        beside=_beside(done, adapters or {}, beside),
    )
    return done


def merge_weights(
    model: str | Path,
    adapters: Mapping[Adapter, float],
    out: str | Path,
    *,
    beside: Callable[[Path, Written], None] | None = None,
) -> Written:
    """Write a model with adapters merged into it, each times a factor: W' = W + sum_i factor_i s_i B_i A_i.

    A negative factor subtracts a weight direction (Fierro and Roger 2511.05408): with a bad fine-tune's adapter at
    -k and a good one's at +k, theta' = theta - k (theta_bad - theta_good).

    Raises:
        RepairError: A module of an adapter has no matrix in the files, or `out` is there.
        ModelError: The folder is no whole model.
    """
    source = open_checkpoint(model)
    layout = layout_of(source, exact=False)
    changes = by_tensor(source, layout.family, adapters)
    done = Written(layout)
    edits = {name: _edit(change, done, None) for name, change in changes.items()}
    rewrite(source, Path(out), edits, beside=_beside(done, adapters, beside))
    return done


def _beside(
    done: Written, adapters: Mapping[Adapter, float], further: Callable[[Path, Written], None] | None
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for adapter in adapters:
            copy_beside(adapter, folder)
        if further is not None:
            further(folder, done)

    return write


def _merged(first: Mapping[str, TensorChange], merges: Mapping[str, TensorChange]) -> dict[str, TensorChange]:
    both = dict(merges)
    for name, change in first.items():
        both[name] = replace(change, adds=merges[name].adds) if name in merges else change
    return both


def _edit(change: TensorChange, done: Written, layer: int | None) -> Edit:
    def edit(weight: Tensor) -> None:
        found = change.apply_(weight)
        done.tensors += 1
        if change.unit is not None:
            done.along[layer] = done.along.get(layer, SharesAlong()) + found

    return edit
