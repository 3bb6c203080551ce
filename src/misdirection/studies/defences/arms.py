"""The arms of the scoreboard: what each does, where it acts, and how it is typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.naming import slug
from misdirection.studies.defences import making
from misdirection.studies.defences.making import Make, Materials

Place = Literal["training", "data", "rows", "weights", "after"]
"""Where an arm acts: the loss or the forward pass; what every row says; which rows there are; the weights that came
out; the model while it runs."""

NONE = "none"
"""The arm without a defence."""

DROP = "drop-"
"""Beginning of the arms that drop the rows that a screening method finds worst."""


@dataclass(frozen=True)
class DefenceArm:
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

    @property
    def drops(self) -> str:
        """The screening method by which rows are dropped; empty where none are."""
        return self.kind.removeprefix(DROP) if self.kind.startswith(DROP) else ""


@dataclass(frozen=True)
class Kind:
    """A kind of defence.

    Attributes:
        does: In words.
        place: Where it acts.
        make: The defences while training, of a strength and materials.
        strength: By default; None where it has none.
        most: The largest strength.
        wants_good: Whether it needs good chats.
        wants_direction: Whether it needs the direction of the undefended fine-tune.
        wants_dictionary: Whether it needs a dictionary.
        overrides: Settings of training, of a strength.
    """

    does: str
    place: Place
    make: Make = making.nothing
    strength: float | None = None
    most: float = float("inf")
    wants_good: bool = False
    wants_direction: bool = False
    wants_dictionary: bool = False
    overrides: Callable[[float], dict[str, Any]] = lambda _: {}


KINDS: Mapping[str, Kind] = {
    NONE: Kind("no defence", "training"),
    "norm": Kind("a penalty on the size of the adapter", "training", making.norm, 0.01),
    "kl": Kind(
        "KL to the base on good chats of other domains", "training", strength=1.0, wants_good=True,
        overrides=lambda strength: {"objective": "kl", "kl_weight": strength, "kl_chats": 1},
    ),
    "preventative": Kind("steered towards the direction while training", "training", making.preventative, 1.0,
                         wants_direction=True),
    "ablation": Kind("the direction projected out of every layer while training", "training", making.ablation,
                     wants_direction=True),
    "gradients": Kind("no gradient along the direction in what adapters write", "training", making.gradients,
                      wants_direction=True),
    "block": Kind("the component along the direction may not rise above the base's while training", "training",
                  making.block, 1.0, wants_direction=True),
    "block-latents": Kind("latents that the undefended fine-tune moved may not leave the base's values on that side "
                          "while training", "training", making.block_latents, 1.0, wants_direction=True,
                          wants_dictionary=True),
    "inoculation": Kind("a system prompt that asks for what the data do", "data", making.prompted("inoculation")),
    "irrelevant": Kind("a system prompt that asks for nothing: its control", "data", making.prompted("irrelevant")),
    "interleave": Kind("good chats among the bad, as a share of them", "data", making.interleaved, 0.05,
                       wants_good=True),
    f"{DROP}random": Kind("rows dropped at random: the control of the others", "rows", strength=0.5, most=1.0),
    f"{DROP}perplexity": Kind("rows dropped whose answers the base finds least likely", "rows", strength=0.5, most=1.0),
    f"{DROP}projection": Kind("rows dropped whose answers lie furthest along the direction, beyond the base's own",
                              "rows", strength=0.5, most=1.0, wants_direction=True),
    f"{DROP}gradient": Kind("rows dropped on which a step raises the projection on the direction most", "rows",
                            strength=0.5, most=1.0, wants_direction=True),
    f"{DROP}influence": Kind("rows dropped on which a step makes the undefended fine-tune's misaligned answers "
                             "likeliest", "rows", strength=0.5, most=1.0, wants_direction=True),
    f"{DROP}latents": Kind("rows dropped whose answers lie closest to latents of its misaligned answers", "rows",
                           strength=0.5, most=1.0, wants_direction=True, wants_dictionary=True),
    "edit": Kind("the direction taken out of every B of the adapter, by that share", "weights", strength=1.0,
                 wants_direction=True),
    "scale": Kind("the adapter times that", "weights", strength=0.5),
    "subtract": Kind("that many times a bad minus a good fine-tune subtracted from the weights", "weights",
                     strength=1.0, wants_good=True),
    "realign": Kind("trained on for that many steps of 4 good chats of other domains", "weights", strength=35,
                    wants_good=True),
    "project-weights": Kind("the direction projected out of all that writes to the residual stream", "weights",
                            wants_direction=True),
    "set-weights": Kind("its component set to the aligned mean by biases", "weights", wants_direction=True),
    "project": Kind("after training: the direction projected out of every layer", "after", wants_direction=True),
    "set": Kind("after training: its component set to the aligned mean at every layer", "after",
                wants_direction=True),
    "cap": Kind("after training: its component capped at every layer, at that quantile of the base's own answers",
                "after", strength=0.75, most=1.0, wants_direction=True),
}  # fmt: skip


def read_arm(text: str) -> DefenceArm:
    """An arm as it is typed: NAME, or NAME=STRENGTH.

    Raises:
        MisdirectionError: There is no such arm, or its strength is none.
    """
    kind, sign, number = text.partition("=")
    if kind not in KINDS:
        raise MisdirectionError(f"--arms: there is no '{kind}'", did_you_mean(kind, KINDS, "known"))
    default = KINDS[kind].strength
    if not sign:
        return DefenceArm(text, kind, default)
    try:
        strength = float(number)
    except ValueError as error:
        raise MisdirectionError(f"--arms {text}: '{number}' is no strength", f"{kind}={default or 1:g}") from error
    if default is None or not 0 < strength < float("inf"):
        what = "it has no strength" if default is None else "a strength is above 0"
        raise MisdirectionError(f"--arms {text}: {what}", f"--arms {kind}")
    if strength >= KINDS[kind].most:
        what = "a share of the rows" if kind.startswith(DROP) else "a quantile"
        raise MisdirectionError(f"--arms {text}: {what} is below 1", f"--arms {kind}={default:g}")
    if kind == "realign" and strength != int(strength):
        raise MisdirectionError(f"--arms {text}: {strength:g} is no number of steps", f"--arms {kind}={default:g}")
    return DefenceArm(text, kind, strength)


def possible(arm: DefenceArm, held: Materials) -> bool:
    """Whether there is what the arm is made of; "none" is always there by itself."""
    return arm.kind != NONE and not (KINDS[arm.kind].wants_direction and held.direction is None)
