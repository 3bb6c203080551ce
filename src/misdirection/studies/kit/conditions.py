"""What is done to a model under each arm of a study, as data that a run can hash and a report can print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from misdirection.directions import Direction, random_like
from misdirection.engine import Ablate, Arm, Intervention, ScaleAdapter, Set, Steer
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.variants import Variants

Operation = Literal["none", "steer", "project", "set"]


@dataclass(frozen=True)
class Condition:
    """One arm of a study.

    Attributes:
        name: Name of the arm in tables.
        label: What a reader is told.
        variant: Base or tuned model, or a fine-tune by its name.
        operation: "none"; "steer" (add coefficient x direction); "project" (project it out, 2506.11618 section 3.4);
            "set" (replace the component by the aligned mean).
        layers: Where it acts; empty means every layer.
        coefficient: Of steering.
        single: Use this layer's vector at every layer ("single direction"); None takes each layer its own.
        random_seed: Use a random direction of the same norm drawn with this seed instead: a control.
        control: Whether the arm is a control.
        source: Which of several directions, by name; empty where there is one.
        scales: Factor of the adapter's output by layer (2506.11618 section 4.3); layers not named keep `others`.
        others: Factor of the layers that `scales` does not name.
    """

    name: str
    label: str
    variant: str
    operation: Operation = "none"
    layers: tuple[int, ...] = ()
    coefficient: float = 0.0
    single: int | None = None
    random_seed: int | None = None
    control: bool = False
    source: str = ""
    scales: tuple[tuple[int, float], ...] = ()
    others: float = 1.0


REMOVALS: tuple[Operation, ...] = ("project", "set")
"""The two ways of removing a direction."""

BASE = Condition("base", "base model", "base")
TUNED = Condition("tuned", "tuned model", "tuned")


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
        "steer",
        (layer,),
        coefficient,
        random_seed=random_seed,
        control=random_seed is not None,
    )


def single_cures(layers: Sequence[int]) -> list[Condition]:
    """One layer's direction removed from every layer of the tuned model, by both operations, for each of `layers`."""
    return [
        Condition(
            f"{operation}-single-{layer}", f"{_DOES[operation]}: layer {layer}'s at every layer", "tuned", operation,
            single=layer,
        )
        for operation in REMOVALS
        for layer in layers
    ]  # fmt: skip


def cures(project_layer: int, set_layer: int) -> list[Condition]:
    """What may remove the behaviour from the tuned model, and the controls that should not.

    Args:
        project_layer: Whose direction is projected out of every layer ("single direction", 2506.11618 section 3.4).
        set_layer: Whose direction's component is set at every layer.
    """
    return [
        Condition("no-op", "no-op: hooks in place, coefficient 0", "tuned", "steer", control=True),
        Condition("project", f"{_DOES['project']}: each layer's own", "tuned", "project"),
        Condition("set", f"{_DOES['set']}: each layer's own", "tuned", "set"),
        single_cures([project_layer])[0],
        single_cures([set_layer])[1],
        *(
            Condition(
                f"{operation}-random-{seed}", f"{_DOES[operation]}: random direction {seed}", "tuned", operation,
                random_seed=seed, control=True,
            )
            for operation in REMOVALS
            for seed in (1, 2, 3)
        ),
    ]  # fmt: skip


_DOES = {"project": "project the direction out", "set": "set its component to the aligned mean"}


def arm_of(condition: Condition, models: Variants, directions: Direction | Mapping[str, Direction] | None) -> Arm:
    """The engine's arm for a condition.

    Raises:
        MisdirectionError: The condition needs a direction and there is none, or names a layer beyond it.
    """
    adapter = models.adapter_of(condition.variant)
    done = (*_scaling(condition, adapter), *_on_residual_stream(condition, directions))
    return Arm(condition.name, adapter, done)


def _scaling(condition: Condition, adapter: str | None) -> tuple[Intervention, ...]:
    if not condition.scales and condition.others == 1.0:
        return ()
    if adapter is None:
        raise MisdirectionError(f"'{condition.name}' scales an adapter, and '{condition.variant}' has none")
    return (ScaleAdapter(dict(condition.scales), condition.others),)


def _on_residual_stream(
    condition: Condition, directions: Direction | Mapping[str, Direction] | None
) -> tuple[Intervention, ...]:
    if condition.operation == "none":
        return ()
    direction = directions.get(condition.source) if isinstance(directions, Mapping) else directions
    if direction is None:
        raise MisdirectionError(
            f"'{condition.name}' needs a direction" + (f" called '{condition.source}'" if condition.source else "")
        )
    vectors = direction.vectors
    named = (*condition.layers, *(() if condition.single is None else (condition.single,)))
    if any(not 0 <= layer < len(vectors) for layer in named):
        raise MisdirectionError(
            f"{condition.label}: there is no layer {', '.join(map(str, named))}",
            f"the direction has layers 0 to {len(vectors) - 1}",
        )
    layers = condition.layers or tuple(range(len(vectors)))
    if condition.single is not None:
        vectors = vectors[condition.single].expand_as(vectors)
    if condition.random_seed is not None:
        vectors = random_like(vectors, condition.random_seed)
    if condition.operation == "steer":
        return (Steer(vectors, layers, condition.coefficient),)
    if condition.operation == "project":
        return (Ablate(vectors, layers),)
    return (Set(vectors, layers, direction.aligned_component(vectors)),)
