"""What an audit measured, before it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.statistics import Thresholds
from misdirection.studies.audit.cures import Cures, LatentCures
from misdirection.studies.audit.results import ColouredAnswer, ComponentLeft, Fix
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged

ARMS = ("base", "tuned")


@dataclass(frozen=True)
class Steered:
    """What steering the base model showed.

    Attributes:
        layer: Of the best point.
        coefficient: Of the best point.
        grid: Conditions of the coarse sweep, the untouched base first.
        swept: Its answers.
        chosen: The base, the best point and its random control.
        again: Their answers on fresh random numbers.
    """

    layer: int
    coefficient: float
    grid: Sequence[Condition]
    swept: Judged
    chosen: Sequence[Condition]
    again: Judged


@dataclass(frozen=True)
class Evidence:
    """All that an audit measured.

    Attributes:
        bench: The open run, with answers, verdicts, drift and direction.
        layer: At which the direction is shown.
        steering: None where there is no direction.
        cures: Likewise.
        left: The component behind each layer after each removal; likewise.
        tokens: A few answers token by token.
        fix: The kept repair; None without one.
        held: What holding latents showed; None without a dictionary.
    """

    bench: Workbench
    layer: int
    steering: Steered | None
    cures: Cures | None
    left: tuple[ComponentLeft, ...] | None
    tokens: tuple[ColouredAnswer, ...]
    fix: Fix | None = None
    held: LatentCures | None = None

    @property
    def rules(self) -> Thresholds:
        """When an answer is misaligned."""
        return self.bench.thresholds

    @property
    def judges(self) -> bool:
        """Whether there are verdicts."""
        return self.bench.config.judge != "none"
