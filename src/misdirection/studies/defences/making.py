"""What defences are made of, and how each kind that acts while training is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misdirection.chats import Chat
    from misdirection.directions import Direction
    from misdirection.features import Dictionary
    from misdirection.training.defences import Defence


@dataclass(frozen=True)
class Risen:
    """Latents that a fine-tune moved away from its base.

    Attributes:
        rising: Those that rose, furthest first.
        falling: Those that fell.
    """

    rising: tuple[int, ...] = ()
    falling: tuple[int, ...] = ()


@dataclass(frozen=True)
class Materials:
    """What arms are made of; in the arguments of a step the handles of steps stand for what they hold.

    Attributes:
        good: Good chats of other domains.
        direction: The misalignment direction of the undefended fine-tune; None where there is none.
        layer: The layer that single-layer defences use.
        prompts: System prompts by arm.
        dictionary: Of a layer of the model; None where none is named.
        latents: Of the dictionary, those that the undefended fine-tune moved.
    """

    good: tuple[Chat, ...] = ()
    direction: Direction | None = None
    layer: int = 0
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])
    dictionary: Dictionary | None = None
    latents: Risen | None = None


Make = Callable[[float, Materials], "list[Defence]"]
"""Defences of a strength and of materials."""


def nothing(strength: float, held: Materials) -> list[Defence]:
    """No defence."""
    del strength, held
    return []


def norm(strength: float, held: Materials) -> list[Defence]:
    """A penalty on the adapter."""
    del held
    from misdirection.training.defences import NormPenalty

    return [NormPenalty(strength)]


def preventative(strength: float, held: Materials) -> list[Defence]:
    """Steering towards the direction at its layer."""
    from misdirection.training.defences import Preventative

    assert held.direction is not None
    return [Preventative(held.direction.vectors, (held.layer,), strength)]


def ablation(strength: float, held: Materials) -> list[Defence]:
    """The one layer's direction projected out of every layer."""
    del strength
    from misdirection.training.defences import ConceptAblation

    assert held.direction is not None
    one = held.direction.vectors[held.layer]
    return [ConceptAblation({layer: one for layer in range(len(held.direction.vectors))})]


def gradients(strength: float, held: Materials) -> list[Defence]:
    """No gradient along it."""
    del strength
    from misdirection.training.defences import GradientProjection

    assert held.direction is not None
    return [GradientProjection(held.direction.vectors[held.layer].expand_as(held.direction.vectors))]


def block(strength: float, held: Materials) -> list[Defence]:
    """One-sided blocking of the component along the direction, at its layer."""
    from misdirection.training.defences import Component, LatentBlocking

    assert held.direction is not None
    return [LatentBlocking(Component(held.direction.vectors[held.layer]), held.layer, (0,), weight=strength)]


def block_latents(strength: float, held: Materials) -> list[Defence]:
    """One-sided blocking of the latents that the undefended fine-tune moved."""
    from misdirection.training.defences import LatentBlocking

    assert held.dictionary is not None
    assert held.latents is not None
    layer = held.dictionary.layer
    assert layer is not None
    # A key that is made once is as good as one that is made each time.
    dictionary: Any = held.dictionary
    return [LatentBlocking(dictionary, layer, held.latents.rising, held.latents.falling, strength)]


def prompted(name: str) -> Make:
    """A system prompt in front of every row."""

    def make(strength: float, held: Materials) -> list[Defence]:
        del strength
        from misdirection.training.defences import Inoculation

        return [Inoculation(held.prompts[name])]

    return make


def interleaved(strength: float, held: Materials) -> list[Defence]:
    """Good chats among the bad."""
    from misdirection.training.defences import Interleaving

    return [Interleaving(held.good, strength)]
