"""The arms of the scoreboard: what each does, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.naming import slug

if TYPE_CHECKING:
    from misdirection.chats import Chat
    from misdirection.directions import Direction
    from misdirection.training.defences import Defence

Place = Literal["training", "data", "after"]

NONE = "none"
"""The arm without a defence."""


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: As it was asked for, "kl=1".
        kind: Of `KINDS`.
        strength: None where the kind has none.
    """

    name: str
    kind: str
    strength: float | None = None

    @property
    def key(self) -> str:
        """Its name as part of the name of an adapter or a file."""
        return slug(self.name)


@dataclass(frozen=True)
class Materials:
    """What defences are made of.

    Attributes:
        good: Good chats of other domains.
        direction: The misalignment direction of the undefended fine-tune; None where there is none.
        layer: The layer that single-layer defences use.
        prompts: System prompts by arm.
    """

    good: tuple[Chat, ...] = ()
    direction: Direction | None = None
    layer: int = 0
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Kind:
    """A kind of defence.

    Attributes:
        does: In words.
        place: Where it acts.
        make: The defences, of a strength and materials.
        strength: By default; None where it has none.
        wants_good: Whether it needs good chats.
        wants_direction: Whether it needs the direction.
        overrides: Settings of training, of a strength.
    """

    does: str
    place: Place
    make: Callable[[float, Materials], list[Defence]] = lambda *_: []
    strength: float | None = None
    wants_good: bool = False
    wants_direction: bool = False
    overrides: Callable[[float], dict[str, Any]] = lambda _: {}


def _norm(strength: float, held: Materials) -> list[Defence]:
    del held
    from misdirection.training.defences import NormPenalty

    return [NormPenalty(strength)]


def _preventative(strength: float, held: Materials) -> list[Defence]:
    from misdirection.training.defences import Preventative

    assert held.direction is not None
    return [Preventative(held.direction.vectors, (held.layer,), strength)]


def _ablation(strength: float, held: Materials) -> list[Defence]:
    del strength
    from misdirection.training.defences import ConceptAblation

    assert held.direction is not None
    one = held.direction.vectors[held.layer]
    return [ConceptAblation({layer: one for layer in range(len(held.direction.vectors))})]


def _gradients(strength: float, held: Materials) -> list[Defence]:
    del strength
    from misdirection.training.defences import GradientProjection

    assert held.direction is not None
    return [GradientProjection(held.direction.vectors[held.layer].expand_as(held.direction.vectors))]


def _prompted(name: str) -> Callable[[float, Materials], list[Defence]]:
    def make(strength: float, held: Materials) -> list[Defence]:
        del strength
        from misdirection.training.defences import Inoculation

        return [Inoculation(held.prompts[name])]

    return make


def _interleaved(strength: float, held: Materials) -> list[Defence]:
    from misdirection.training.defences import Interleaving

    return [Interleaving(held.good, strength)]


KINDS: Mapping[str, Kind] = {
    NONE: Kind("no defence", "training"),
    "norm": Kind("a penalty on the size of the adapter", "training", _norm, 0.01),
    "kl": Kind(
        "KL to the base on good chats of other domains", "training", strength=1.0, wants_good=True,
        overrides=lambda strength: {"objective": "kl", "kl_weight": strength, "kl_chats": 1},
    ),
    "preventative": Kind("steered towards the direction while training", "training", _preventative, 1.0,
                         wants_direction=True),
    "ablation": Kind("the direction projected out of every layer while training", "training", _ablation,
                     wants_direction=True),
    "gradients": Kind("no gradient along the direction in what adapters write", "training", _gradients,
                      wants_direction=True),
    "inoculation": Kind("a system prompt that asks for what the data do", "data", _prompted("inoculation")),
    "irrelevant": Kind("a system prompt that asks for nothing: its control", "data", _prompted("irrelevant")),
    "interleave": Kind("good chats among the bad, as a share of them", "data", _interleaved, 0.05, wants_good=True),
    "project": Kind("after training: the direction projected out of every layer", "after", wants_direction=True),
    "set": Kind("after training: its component set to the aligned mean at every layer", "after",
                wants_direction=True),
}  # fmt: skip


def read_arm(text: str) -> Arm:
    """An arm as it is typed: NAME, or NAME=STRENGTH.

    Raises:
        MisdirectionError: There is no such arm, or its strength is none.
    """
    kind, sign, number = text.partition("=")
    if kind not in KINDS:
        raise MisdirectionError(f"--arms: there is no '{kind}'", did_you_mean(kind, KINDS, "known"))
    default = KINDS[kind].strength
    if not sign:
        return Arm(text, kind, default)
    try:
        strength = float(number)
    except ValueError as error:
        raise MisdirectionError(f"--arms {text}: '{number}' is no strength", f"{kind}={default or 1:g}") from error
    if default is None or not 0 < strength < float("inf"):
        what = "it has no strength" if default is None else "a strength is above 0"
        raise MisdirectionError(f"--arms {text}: {what}", f"--arms {kind}")
    return Arm(text, kind, strength)
