"""What the controls of a live chat say, as an arm of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from misdirection.app.material import dictionary_called, direction_called
from misdirection.app.opening import OpenRun
from misdirection.errors import MisdirectionError
from misdirection.report.numbers import decimal

if TYPE_CHECKING:
    from misdirection.conditions import Condition
    from misdirection.engine import Arm
    from misdirection.engine.interventions import Latents
    from misdirection.studies.kit.variants import Variants


class Change(BaseModel):
    """What is done to a model while it answers.

    Attributes:
        variant: "base", or a fine-tune by its name.
        operation: With the direction: nothing, steer along it, project it out, or set it to the aligned mean.
        direction: By its name in the run.
        layer: Whose vector is used.
        everywhere: Act behind every layer instead of that one.
        coefficient: Of steering.
        random: A random direction of the same norm instead: the control.
        factor: Of the adapter's output.
        dictionary: Whose latent is held, "" for none.
        latent: Which.
        value: At what, in the latent's own units.
    """

    variant: str = "base"
    operation: Literal["none", "steer", "project", "set"] = "none"
    direction: str = ""
    layer: int = Field(default=0, ge=0)
    everywhere: bool = False
    coefficient: float = Field(default=0.0, allow_inf_nan=False)
    random: bool = False
    factor: float = Field(default=1.0, allow_inf_nan=False)
    dictionary: str = ""
    latent: int = Field(default=0, ge=0)
    value: float = Field(default=0.0, allow_inf_nan=False)

    @property
    def plain(self) -> bool:
        """Whether nothing is done."""
        return self.operation == "none" and self.factor == 1.0 and not self.dictionary


def condition_of(change: Change, name: str, dictionary: Latents | None = None) -> Condition:
    """The change as a run records conditions.

    Args:
        change: What the controls say.
        name: Of the arm.
        dictionary: The one that the change names; its latent is left aside without.
    """
    from misdirection.conditions import Along, Condition, Held, Scaled

    does: list[Along | Scaled | Held] = []
    if change.factor != 1.0:
        does.append(Scaled(others=change.factor))
    if change.operation != "none":
        does.append(
            Along(
                change.operation,
                layers=None if change.everywhere else (change.layer,),
                coefficient=change.coefficient if change.operation == "steer" else None,
                single=change.layer if change.everywhere else None,
                random_seed=1 if change.random else None,
                source=change.direction,
            )
        )
    if dictionary is not None:
        does.append(Held(dictionary, (change.latent,), change.value))
    return Condition(
        name, in_words(change), change.variant, tuple(does), control=change.operation != "none" and change.random
    )


def in_words(change: Change) -> str:
    """What is done, as a reader is told."""
    told: list[str] = []
    what = f"random direction like {change.direction}" if change.random else change.direction
    where = f"layer {change.layer}" + ("'s everywhere" if change.everywhere else "")
    if change.operation == "steer":
        told.append(f"+ {change.coefficient:g} x {what} ({where})")
    elif change.operation != "none":
        told.append(
            f"{what} ({where}) {'projected out' if change.operation == 'project' else 'set to the aligned mean'}"
        )
    if change.factor != 1.0:
        told.append(f"adapter x {change.factor:g}")
    if change.dictionary:
        told.append(f"latent {change.latent} of {change.dictionary} held at {decimal(change.value)}")
    return f"{change.variant}: {', '.join(told)}" if told else change.variant


def arm_of(change: Change, name: str, run: OpenRun, models: Variants) -> Arm:
    """The engine's arm.

    Raises:
        MisdirectionError: The run has no such fine-tune, direction, layer or dictionary.
    """
    from misdirection.conditions import compiled

    if change.variant != "base" and change.variant not in models.fine_tunes:
        there = ", ".join(models.fine_tunes) or "the base alone"
        raise MisdirectionError(f"{run.name} has no fine-tune called '{change.variant}'", f"there are {there}")
    if change.factor != 1.0 and models.adapter_of(change.variant) is None:
        raise MisdirectionError(
            f"'{change.variant}' is no adapter, so that its output has no factor", "choose a fine-tune that is one"
        )
    held = direction_called(run, change.direction) if change.operation != "none" else None
    dictionary = dictionary_called(run, change.dictionary) if change.dictionary else None
    condition = condition_of(change, name, dictionary)
    return compiled(condition, models.adapter_of(change.variant), {change.direction: held} if held else None)
