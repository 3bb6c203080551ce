"""What is done to a model under each arm of a study, as data that a run can hash and a report can print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from misdirection.directions import Direction, random_like
from misdirection.engine import Ablate, Arm, Intervention, Set, Steer
from misdirection.errors import MisdirectionError
from misdirection.studies.subject import Subject, Variant

Operation = Literal["none", "steer", "project", "set"]


@dataclass(frozen=True)
class Condition:
    """One arm of a study.

    Attributes:
        name: Name of the arm in tables.
        label: What a reader is told.
        variant: Base or tuned model.
        operation: "none"; "steer" (add coefficient x direction); "project" (project it out, 2506.11618 section 3.4);
            "set" (replace the component by the aligned mean).
        layers: Where it acts; empty means every layer.
        coefficient: Of steering.
        single: Use this layer's vector at every layer ("single direction"); None takes each layer its own.
        random_seed: Use a random direction of the same norm drawn with this seed instead: a control.
        control: Whether the arm is a control.
    """

    name: str
    label: str
    variant: Variant
    operation: Operation = "none"
    layers: tuple[int, ...] = ()
    coefficient: float = 0.0
    single: int | None = None
    random_seed: int | None = None
    control: bool = False


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


def cures(layer: int) -> list[Condition]:
    """What may remove the behaviour from the tuned model, and the controls that should not.

    Args:
        layer: Whose vector the single-direction arms use at every layer.
    """
    return [
        Condition("no-op", "no-op: hooks in place, coefficient 0", "tuned", "steer", control=True),
        Condition("project", "project each layer's direction out", "tuned", "project"),
        Condition("set", "set each layer's component to the aligned mean", "tuned", "set"),
        Condition(
            "project-single", f"project layer {layer}'s direction out of every layer", "tuned", "project", single=layer
        ),
        Condition("set-single", f"set layer {layer}'s component at every layer", "tuned", "set", single=layer),
        Condition("project-random", "project a random direction out", "tuned", "project", random_seed=1, control=True),
        Condition("set-random", "set a random direction's component", "tuned", "set", random_seed=1, control=True),
    ]


def arm_of(condition: Condition, subject: Subject, direction: Direction | None) -> Arm:
    """The engine's arm for a condition.

    Raises:
        MisdirectionError: The condition needs a direction and there is none.
    """
    return Arm(condition.name, subject.adapter_of(condition.variant), _interventions(condition, subject, direction))


def _interventions(condition: Condition, subject: Subject, direction: Direction | None) -> tuple[Intervention, ...]:
    if condition.operation == "none":
        return ()
    if direction is None:
        raise MisdirectionError(f"'{condition.name}' needs a direction")
    layers = condition.layers or tuple(range(subject.model(condition.variant).n_layers))
    vectors = direction.vectors
    if condition.single is not None:
        vectors = vectors[condition.single].expand_as(vectors)
    if condition.random_seed is not None:
        vectors = random_like(vectors, condition.random_seed)
    if condition.operation == "steer":
        return (Steer(vectors, layers, condition.coefficient),)
    if condition.operation == "project":
        return (Ablate(vectors, layers),)
    return (Set(vectors, layers, direction.aligned_component(vectors)),)
