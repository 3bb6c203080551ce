"""The conditions that several studies ask under: base and tuned, steered at points of a grid, with a direction removed.

What a condition is, and how it becomes an arm of the engine, is in `misdirection.conditions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from misdirection.conditions import Along as Along
from misdirection.conditions import Condition as Condition
from misdirection.conditions import Directions, compiled
from misdirection.conditions import Operation as Operation
from misdirection.conditions import Scaled as Scaled
from misdirection.engine import Arm
from misdirection.studies.kit.caps import Caps
from misdirection.studies.kit.variants import Variants

REMOVALS: tuple[Operation, ...] = ("project", "set", "cap")
"""The ways of removing a direction."""

BASE = Condition("base", "base model", "base")
TUNED = Condition("tuned", "tuned model", "tuned")
RANDOM_SEEDS = (1, 2, 3)
"""Of the random directions that are removed beside each."""


def arm_of(condition: Condition, models: Variants, directions: Directions) -> Arm:
    """The engine's arm for a condition; see `conditions.compiled`."""
    return compiled(condition, models.adapter_of(condition.variant), directions)


def steering_grid(layers: Sequence[int], coefficients: Sequence[float]) -> list[Condition]:
    """The base model steered at one layer at a time, every coefficient (2506.11618 section 3.2)."""
    return [steering_point(layer, coefficient) for layer in layers for coefficient in coefficients]


def steering_point(layer: int, coefficient: float, random_seed: int | None = None) -> Condition:
    """The base model steered at one layer; with a seed, by a random direction of the same norm."""
    what = "direction" if random_seed is None else "random direction"
    return Condition(
        f"steer-{layer}-{coefficient:g}" + ("" if random_seed is None else f"-random{random_seed}"),
        f"base model + {coefficient:g} x {what} after layer {layer}",
        "base",
        (Along("steer", (layer,), coefficient, random_seed=random_seed),),
        control=random_seed is not None,
    )


def single_cures(layers: Sequence[int], caps: Caps | None) -> list[Condition]:
    """One layer's direction removed from every layer of the tuned model, in every way, for each of `layers`.

    Args:
        layers: Whose directions.
        caps: Thresholds for these layers; without them nothing is capped.
    """
    return [_single(operation, layer, caps) for operation in _possible(caps) for layer in layers]


def _single(operation: Operation, layer: int, caps: Caps | None) -> Condition:
    label = f"{_DOES[operation]}: layer {layer}'s at every layer"
    return Condition(f"{operation}-single-{layer}", label, "tuned", (removal(operation, caps, single=layer),))


def cures(best: Mapping[Operation, int], caps: Caps | None) -> list[Condition]:
    """What may remove the behaviour from the tuned model, and the controls that should not.

    Args:
        best: By way of removing, whose direction is taken out of every layer ("single direction", 2506.11618
            section 3.4); ways that are not named are left out.
        caps: Thresholds for that layer, for each layer's own direction and for the random ones.
    """
    ways: list[Operation] = [operation for operation in _possible(caps) if operation in best]
    return [
        Condition("no-op", "no-op: hooks in place, coefficient 0", "tuned", (Along("steer", coefficient=0.0),),
                  control=True),
        *(Condition(o, f"{_DOES[o]}: each layer's own", "tuned", (removal(o, caps),)) for o in ways),
        *(_single(operation, best[operation], caps) for operation in ways),
        *(
            Condition(
                f"{operation}-random-{seed}", f"{_DOES[operation]}: random direction {seed}", "tuned",
                (removal(operation, caps, random_seed=seed),), control=True,
            )
            for operation in ways
            for seed in RANDOM_SEEDS
        ),
    ]  # fmt: skip


def alone(best: Mapping[Operation, int], caps: Caps | None) -> list[Condition]:
    """Each removal at one layer alone, which the layers behind it may undo.

    Args:
        best: By way of removing, the layer.
        caps: Thresholds of each layer's own direction.
    """
    return [
        Condition(
            f"{operation}-alone-{layer}", f"{_DOES[operation]}: at layer {layer} alone", "tuned",
            (removal(operation, caps, layers=(layer,)),),
        )
        for operation in _possible(caps)
        if (layer := best.get(operation)) is not None
    ]  # fmt: skip


def at_layers(condition: Condition, layers: tuple[int, ...]) -> Condition:
    """The condition where a direction is there at some layers only; one layer's vector is taken everywhere anyway."""
    along = condition.along
    if along is None or along.single is not None:
        return condition
    here = replace(along, layers=layers)
    return replace(condition, does=tuple(here if one is along else one for one in condition.does))


def removal(
    operation: Operation,
    caps: Caps | None = None,
    layers: tuple[int, ...] | None = None,
    single: int | None = None,
    random_seed: int | None = None,
) -> Along:
    """A direction removed in one way; a cap gets the thresholds of the direction that it acts along."""
    thresholds = caps.along(single, random_seed) if caps and operation == "cap" else None
    return Along(operation, layers, thresholds=thresholds, single=single, random_seed=random_seed)


def _possible(caps: Caps | None) -> list[Operation]:
    return [operation for operation in REMOVALS if operation != "cap" or caps]


_DOES = {
    "project": "project the direction out",
    "set": "set its component to the aligned mean",
    "cap": "cap its component at the base model's",
}
