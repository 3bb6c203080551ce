"""A direction taken out of all that writes to the residual stream, or its component set: W' = (I - u u^T) W.

With one direction for all layers, embeddings included, no part of the stream ever has a component along it: what the
engine's `Ablate` does after every layer, done at every single write, before the first layer's attention and between
attention and MLP too. Set: a bias of each layer adds the difference of the values besides, from zero before the first
on. (Held by the embeddings, which are short, the first value would drown what else they say.) With chosen layers, or
each layer's own direction, the named layers stop writing along it; what others wrote stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from misdirection.repair.change import TensorChange
from misdirection.repair.checkpoint import FORMATS, ModelFolder
from misdirection.repair.errors import RepairError
from misdirection.repair.places import Layout, Place

BIASED = {
    "llama": ("mlp_bias", ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")),
    "qwen3": ("attention_bias", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")),
}
"""Families without biases whose classes have them by a setting: the setting, and the modules that it gives one to."""


@dataclass(frozen=True, eq=False)
class Removal:
    """What is taken out, and what is put in its place.

    Attributes:
        units: Direction by layer, length 1.
        embeddings: The direction that is taken out of the embeddings; None leaves them as they are.
        values: Component after each layer; None projects to zero.
    """

    units: Mapping[int, Tensor]
    embeddings: Tensor | None = None
    values: Tensor | None = None


def everywhere(vector: Tensor, n_layers: int, values: float | Tensor | None = None) -> Removal:
    """One direction out of all that writes, embeddings included.

    Args:
        vector: Shape (width,), of any length but 0.
        n_layers: Decoder layers.
        values: What the component is set to, one number or one a layer, shape (n_layers,); None is zero everywhere.

    Raises:
        RepairError: The direction has no length, or the values are of another number of layers or no numbers.
    """
    unit = unit_of(vector, "the direction")
    if values is None:
        return Removal(dict.fromkeys(range(n_layers), unit), unit)
    held = torch.as_tensor(values, dtype=torch.float32)
    if held.ndim and tuple(held.shape) != (n_layers,):
        raise RepairError(
            f"there are values of {len(held)} layers, and the model has {n_layers}",
            "give one number, or one for each of its layers",
        )
    if not bool(held.isfinite().all()):
        raise RepairError("a value that the component is to be set to is no number")
    return Removal(dict.fromkeys(range(n_layers), unit), unit, held.expand(n_layers))


def at_layers(vectors: Tensor, layers: Sequence[int]) -> Removal:
    """Each of some layers stops writing along its own direction; the embeddings are left as they are.

    Args:
        vectors: Shape (n_layers, width).
        layers: Which.

    Raises:
        RepairError: No such layer, or no direction there.
    """
    if wrong := [layer for layer in layers if not 0 <= layer < len(vectors)]:
        raise RepairError(f"there is no layer {wrong[0]}", f"the model's are 0 to {len(vectors) - 1}")
    return Removal({layer: unit_of(vectors[layer], f"the direction at layer {layer}") for layer in layers})


def unit_of(vector: Tensor, what: str) -> Tensor:
    """A vector with length 1, float32.

    Raises:
        RepairError: It has none, or is no number.
    """
    norm = vector.double().norm()
    if not bool(torch.isfinite(norm)) or float(norm) == 0:
        raise RepairError(f"{what} has no length, so nothing can be projected on it", "name layers that have one")
    return (vector.double() / norm).float()


@dataclass(frozen=True, eq=False)
class RemovalPlan:
    """What a removal comes to in files.

    Attributes:
        changes: By tensor.
        added: Tensors that were not there: biases.
        copies: Further tensors that are copies of one that is there: a head of its own.
        settings: What changes in config.json.
        notes: What a reader should know.
    """

    changes: Mapping[str, TensorChange]
    added: Mapping[str, Tensor]
    copies: Mapping[str, str]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def plan(removal: Removal, layout: Layout, checkpoint: ModelFolder) -> RemovalPlan:
    """What must change in the files of a model.

    Raises:
        RepairError: The widths differ, or a component is to be set and the architecture has no bias for it.
    """
    for unit in (*removal.units.values(), *([] if removal.embeddings is None else [removal.embeddings])):
        if tuple(unit.shape) != (layout.width,):
            raise RepairError(
                f"the direction is {len(unit)} wide, and the model {layout.width}", "give a direction of this model"
            )
    changes = {place.name: _change(place, removal) for place in layout.places}
    found = RemovalPlan({name: change for name, change in changes.items() if change is not None}, {}, {}, {})
    if removal.embeddings is not None and layout.tied:
        found = _untied(found, layout, checkpoint)
    return found if removal.values is None else _with_values(found, removal, layout, checkpoint)


def _change(place: Place, removal: Removal) -> TensorChange | None:
    turned = place.kind == "matrix" and place.axis == -1
    if place.layer is None:
        return None if removal.embeddings is None else TensorChange(-1, removal.embeddings)
    unit = removal.units.get(place.layer)
    return None if unit is None else TensorChange(place.axis, unit, turned=turned)


def _begins(place: Place) -> bool:
    """Whether a table is the tokens' one, of which each token gets exactly one row."""
    return place.module not in ("wpe", "embed_positions", "position_embeddings")


def _untied(found: RemovalPlan, layout: Layout, checkpoint: ModelFolder) -> RemovalPlan:
    """The head keeps the embeddings as they were: it reads the stream behind a norm, where the direction is another."""
    tokens = next(place.name for place in layout.places if place.layer is None and _begins(place))
    head = _head(checkpoint)
    copies = {} if head in checkpoint.tensors else {head: tokens}
    note = (
        "embeddings and head were one matrix; the head is now one of its own, as it was, since it reads the stream "
        "behind a norm (tie_word_embeddings is false)"
    )
    return replace(found, copies=copies, settings={"tie_word_embeddings": False}, notes=(note,))


def _head(checkpoint: ModelFolder) -> str:
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        lm: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(checkpoint.folder)))
    head = lm.get_output_embeddings()
    return next(f"{name}.weight" for name, module in lm.named_modules() if module is head)


def _with_values(found: RemovalPlan, removal: Removal, layout: Layout, checkpoint: ModelFolder) -> RemovalPlan:
    """Biases that add the difference of the component from layer to layer."""
    assert removal.values is not None and removal.embeddings is not None
    rises = {layer: float(rise) for layer, rise in enumerate(removal.values.diff(prepend=torch.zeros(1)))}
    if layout.multiplied:
        raise RepairError(
            f"the family '{layout.family}' multiplies what its blocks write; setting a component was not tried there",
            "project it out (repair project)",
        )
    biases = {layer: _plain_bias(layout, checkpoint, layer) for layer in rises}
    if all(biases.values()):
        shifted = {str(bias): replace(found.changes[str(bias)], value=rises[at]) for at, bias in biases.items()}
        return replace(found, changes={**found.changes, **shifted})
    if layout.family not in BIASED or any(biases.values()):
        raise RepairError(
            f"the family '{layout.family}' has no bias that is added to the residual stream, so no component of it can "
            "be set in the weights",
            "project it out (repair project)",
        )
    setting, modules = BIASED[layout.family]
    shifts = {layer: rise * removal.embeddings for layer, rise in rises.items()}
    note = f"the blocks got biases ({setting} is true): zero, but for those that set the component"
    return replace(
        found,
        added={**found.added, **_new_biases(checkpoint, modules, shifts)},
        settings={**found.settings, setting: True},
        notes=(*found.notes, note),
    )


def _plain_bias(layout: Layout, checkpoint: ModelFolder, layer: int) -> str | None:
    """A bias of a layer that is added once for every token: not one of experts, which the router weighs."""
    found = [p for p in layout.places if p.layer == layer and p.kind == "bias" and "experts" not in p.module]
    # The last one, behind the MLP where it has one: what is between the two is as far as before the layer.
    return next((place.name for place in reversed(found) if len(checkpoint.tensors[place.name].shape) == 1), None)


def _new_biases(checkpoint: ModelFolder, modules: Sequence[str], shifts: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Biases of modules that had none: zero, but for the last module's in the layers that are to add something."""
    of_module = {f"{module}.weight": module for module in modules}
    made: dict[str, Tensor] = {}
    for name, stored in checkpoint.tensors.items():
        ending = next((end for end in of_module if name.endswith(f".{end}")), None)
        if ending is None:
            continue
        layer = int(name.removesuffix(f".{ending}").rsplit(".", 1)[-1])
        bias = name.removesuffix("weight") + "bias"
        shift = shifts.get(layer) if of_module[ending] == modules[-1] else None
        if bias in checkpoint.tensors:
            raise RepairError(f"{checkpoint.folder} has {bias} in some layers and not in others", "save it again")
        made[bias] = (torch.zeros(stored.shape[0]) if shift is None else shift).to(FORMATS[stored.format])
    return made
