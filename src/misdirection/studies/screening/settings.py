"""Settings of the study that closes the loop: screen, retrain, measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import NO_DIRECTION, ON, Overrides, StudyConfig, option
from misdirection.studies.screening.scoring import ScoringConfig
from misdirection.training.presets import LOADED


@dataclass(frozen=True)
class ScreeningConfig(StudyConfig, ScoringConfig):
    """Which way of screening training data prevents emergent misalignment, at what cost in skill?

    Every method drops the same number of rows; a model is trained on what is left, with the same optimiser steps, and
    over seeds. Told are misaligned answers to open questions, bad and good answers in the domains of the data, the
    reduction against training on all rows; precision and recall where it is known which rows are bad. Random removal
    is the baseline, the rows furthest from toxic latents a negative control.

    Examples: misdirection study screening --out runs/screening
    misdirection study screening --model ID --data mixed.jsonl --toxic t.jsonl --harmless h.jsonl
    --dictionary RELEASE:ID --judge local:MODEL
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    explained: ClassVar[Mapping[str, str]] = {"apart": "why scores separate good and bad rows as they do"}
    samples: int = option(24, "answers a question and fine-tune")
    seeds: int = option(3, "fine-tunes a method, each with its own seed; random removal draws anew for each")
    preset: str = option("rank1x9", f"fine-tuning preset: {', '.join(LOADED)}")
    steps: int = option(100, "optimiser steps of every fine-tune, whatever is left of the data")
    domain_samples: int = option(3, "answers a question of a domain and fine-tune")
    curve: tuple[float, ...] = option(
        (), "other shares of the rows, below 1, that are dropped and trained without as well; as 0.1,0.25,0.75"
    )
    shown: int = option(5, "rows at the top of each ranking that the report shows")
    on: str = option("", ON)
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """Checked, and with what suits the model.

        Raises:
            MisdirectionError: See `ScoringConfig.scoring_completed`; no judge, or a number out of range.
        """
        for name, least in (("seeds", 1), ("steps", 1), ("domain_samples", 1), ("shown", 0)):
            self.at_least(name, least)
        if wrong := [share for share in self.curve if not 0 < share < 1]:
            raise MisdirectionError(f"--curve names {wrong[0]:g}", "shares of the rows between 0 and 1")
        if self.training.get("max_steps", self.steps) != self.steps:
            raise MisdirectionError("max_steps is given beside --steps", "--steps is the length of every fine-tune")
        return super().completed().scoring_completed().judged("misalignment after each fine-tune needs")
