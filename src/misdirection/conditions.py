"""What one arm of an experiment is: who answers, and what is done to it while it does.

A condition is data: a run hashes it, a report prints it, and `compiled` makes the engine's `Arm` of it as soon as the
directions are there. It names a direction and a layer where the engine's interventions hold tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

from misdirection.directions import Direction, random_like
from misdirection.engine import Ablate, Arm, Cap, Clamp, Intervention, ScaleAdapter, Set, Steer
from misdirection.engine.interventions import Latents, Positions
from misdirection.errors import MisdirectionError

Operation = Literal["steer", "project", "set", "cap"]
Directions = Direction | Mapping[str, Direction] | None
"""One direction, several by name, or none."""


@dataclass(frozen=True)
class Along:
    """Something done along a direction, behind decoder layers.

    Attributes:
        operation: "steer" (add coefficient x direction); "project" (project it out, 2506.11618 section 3.4); "set"
            (replace the component by the aligned mean); "cap" (take off what lies above a threshold, 2601.10387).
        layers: Where it acts; None means every layer.
        coefficient: Of "steer".
        thresholds: Of "cap", one for each layer of the model, in units of the residual stream.
        single: Use this layer's vector at every layer ("single direction"); None takes each layer its own.
        random_seed: Use a random direction of the same norm drawn with this seed instead: a control.
        source: Which of several directions, by name; None where there is one.
        positions: Tokens where it acts, as the engine has them: "all", "prompt", or "answer".

    Raises:
        MisdirectionError: A steering without a coefficient, a cap without thresholds, or an operation that is none.
    """

    operation: Operation
    layers: tuple[int, ...] | None = None
    coefficient: float | None = None
    thresholds: tuple[float, ...] | None = None
    single: int | None = None
    random_seed: int | None = None
    source: str | None = None
    positions: Positions = field(default="all", metadata={"later": True})

    def __post_init__(self) -> None:
        """What an operation needs is there."""
        if self.operation not in get_args(Operation):
            raise MisdirectionError(f"there is no operation '{self.operation}'", ", ".join(get_args(Operation)))
        needed = {"steer": ("coefficient", self.coefficient), "cap": ("thresholds", self.thresholds)}
        name, held = needed.get(self.operation, ("", 0))
        if held is None:
            raise MisdirectionError(f"'{self.operation}' along a direction needs {name}")


@dataclass(frozen=True)
class Scaled:
    """The adapter's output multiplied layer by layer (2506.11618 section 4.3); by 1 everywhere it is left alone.

    Attributes:
        factors: (layer, factor), by layer.
        others: Factor of the layers that are not named.
    """

    factors: tuple[tuple[int, float], ...] = ()
    others: float = 1.0


@dataclass(frozen=True, eq=False)
class Held:
    """Latents of a dictionary held at a value, at the dictionary's own layer (`engine.Clamp`).

    Attributes:
        dictionary: Its encoder and decoder.
        latents: Their numbers.
        value: In units of the latents; 0 takes them out.
        layer: The dictionary's own where it is None.
    """

    dictionary: Latents
    latents: tuple[int, ...]
    value: float = 0.0
    layer: int | None = None


@dataclass(frozen=True)
class Condition:
    """One arm of an experiment.

    Attributes:
        name: Name of the arm in tables.
        label: What a reader is told.
        variant: "base" or "tuned", or a fine-tune by its name.
        does: What is done while it answers, in order; nothing by default.
        control: Whether the arm is a control.
        kind: The group of arms that it is told with, such as "roles" or "leave out"; None where there are no groups.
        dose: Share of published strengths; None where there are none.
    """

    name: str
    label: str
    variant: str
    does: tuple[Along | Scaled | Held, ...] = ()
    control: bool = False
    kind: str | None = None
    dose: float | None = None

    @property
    def along(self) -> Along | None:
        """What is done along a direction; None where nothing is."""
        return next((one for one in self.does if isinstance(one, Along)), None)

    @property
    def held(self) -> Held | None:
        """Which latents are held at a value; None where none are."""
        return next((one for one in self.does if isinstance(one, Held)), None)

    @property
    def point(self) -> tuple[int, float]:
        """Layer and coefficient, of a steering at one layer."""
        along = self.along
        assert along is not None and along.layers and along.coefficient is not None
        return along.layers[0], along.coefficient

    @property
    def scaled(self) -> Scaled | None:
        """How the adapter is scaled; None where it is not."""
        return next((one for one in self.does if isinstance(one, Scaled)), None)


def compiled(condition: Condition, adapter: str | None, directions: Directions = None) -> Arm:
    """The engine's arm for a condition.

    Args:
        condition: What is done.
        adapter: Name of the adapter that is on under the condition's variant; None for the base or a whole model.
        directions: Those that it names.

    Raises:
        MisdirectionError: It needs a direction and there is none, names a layer beyond it, caps at thresholds of
            another model, or scales an adapter that is not there.
    """
    does = [one for one in condition.does if one != Scaled()]
    return Arm(condition.name, adapter, tuple(_compiled(condition, one, adapter, directions) for one in does))


def _compiled(
    condition: Condition, done: Along | Scaled | Held, adapter: str | None, directions: Directions
) -> Intervention:
    if isinstance(done, Along):
        return _on_the_stream(condition, done, directions)
    if isinstance(done, Held):
        return Clamp(done.dictionary, done.latents, done.value, () if done.layer is None else (done.layer,))
    if adapter is None:
        raise MisdirectionError(f"'{condition.name}' scales an adapter, and '{condition.variant}' has none")
    return ScaleAdapter(dict(done.factors), done.others)


def _on_the_stream(condition: Condition, done: Along, directions: Directions) -> Intervention:
    direction = directions.get(done.source or "") if isinstance(directions, Mapping) else directions
    if direction is None:
        raise MisdirectionError(
            f"'{condition.name}' needs a direction" + (f" called '{done.source}'" if done.source else "")
        )
    vectors = vectors_along(done, direction, condition.label)
    layers = tuple(range(len(vectors))) if done.layers is None else done.layers
    if done.operation == "steer":
        assert done.coefficient is not None
        return Steer(vectors, layers, done.coefficient, done.positions)
    if done.operation == "project":
        return Ablate(vectors, layers, done.positions)
    if done.operation == "set":
        return Set(vectors, layers, direction.aligned_component(vectors), done.positions)
    assert done.thresholds is not None
    if len(done.thresholds) != len(vectors):
        raise MisdirectionError(
            f"{condition.label}: thresholds of {len(done.thresholds)} layers for a direction of {len(vectors)}",
            "measure them on this model",
        )
    return Cap(vectors, layers, dict(enumerate(done.thresholds)), done.positions)


def vectors_along(done: Along, direction: Direction, label: str = "the condition") -> Tensor:
    """The vectors that an operation acts along, shape (n_layers, width): a layer's own, one of all, or random ones.

    Raises:
        MisdirectionError: It names a layer beyond the direction.
    """
    vectors = direction.vectors
    named = (*(done.layers or ()), *(() if done.single is None else (done.single,)))
    if any(not 0 <= layer < len(vectors) for layer in named):
        raise MisdirectionError(
            f"{label}: there is no layer {', '.join(map(str, named))}",
            f"the direction has layers 0 to {len(vectors) - 1}",
        )
    if done.single is not None:
        vectors = vectors[done.single].expand_as(vectors)
    if done.random_seed is not None:
        vectors = random_like(vectors, done.random_seed)
    return vectors
