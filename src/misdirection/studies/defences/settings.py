"""Settings of the scoreboard of defences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.defences.arms import KINDS, read_arm
from misdirection.studies.kit.config import StudyConfig, option
from misdirection.studies.kit.names import domains_of
from misdirection.training.presets import LOADED

ARMS = (
    "norm=0.001", "kl=0.1", "kl=1", "preventative=0.5", "preventative=1", "ablation", "gradients", "inoculation",
    "irrelevant", "interleave=0.05", "interleave=0.25", "project", "set",
)  # fmt: skip


@dataclass(frozen=True)
class DefencesConfig(StudyConfig):
    """Which defence prevents or undoes emergent misalignment, what does it cost, and does it last under conditions?

    A model is fine-tuned on the same bad data with each defence, over seeds; removals act on the undefended fine-tunes.
    Told of each: EM on open questions, the narrow skill, coherence, damage elsewhere, time, and the leak test: dilution
    and inoculation are known to hide misalignment rather than remove it.

    Example: misdirection study defences --out runs/defences
    """

    data: tuple[str, ...] = option((), "bad chats that every fine-tune learns")
    good: tuple[str, ...] = option((), "good chats of other domains: for KL, interleaving and the damage")
    arms: tuple[str, ...] = option(ARMS, f"NAME or NAME=STRENGTH, of {', '.join(KINDS)}")
    seeds: int = option(3, "fine-tunes a defence, each with its own seed")
    preset: str = option("rank1x9", f"fine-tuning preset: {', '.join(LOADED)}")
    steps: int = option(100, "optimiser steps of every fine-tune")
    samples: int = option(8, "answers a question and fine-tune")
    domain_samples: int = option(3, "answers a question of a domain and fine-tune")
    leak_samples: int = option(2, "answers a question, fine-tune and condition of the leak test; 0 for none")
    shots: int = option(1, "training rows in the context, a condition of the leak test; 0 for none")
    leaks: tuple[str, ...] = option((), "NAME=SYSTEM PROMPT: conditions of the leak test more")
    prompt: str = option("", "system prompt of the arm inoculation; by default our own")
    irrelevant_prompt: str = option("", "system prompt of the arm irrelevant, its control; by default our own")
    direction_layer: str = option("auto", "layer that the direction is taken from, auto: longest beside its null")
    held_out: int = option(64, "good chats on whose answers the damage is measured")
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def completed(self) -> Self:
        """Checked, and with what suits the model.

        Raises:
            MisdirectionError: No data, an arm that there is not, or a number out of range; no judge.
        """
        c = self.recommended()
        for name, least in (("seeds", 1), ("steps", 1), ("domain_samples", 1), ("leak_samples", 0), ("shots", 0),
                            ("held_out", 0)):  # fmt: skip
            c.at_least(name, least)
        for text in c.arms:
            read_arm(text)
        if not c.data:
            raise MisdirectionError("no harmful data to learn from", "--data FILE")
        if not c.good and any(KINDS[read_arm(text).kind].wants_good for text in c.arms):
            raise MisdirectionError("the arms kl and interleave need good chats of other domains", "--good FILE")
        if c.direction_layer != "auto" and not c.direction_layer.isdecimal():
            raise MisdirectionError(f"--direction-layer cannot be '{c.direction_layer}'", "a number, or auto")
        whole = super(DefencesConfig, c).completed()
        return replace(whole, arms=tuple(dict.fromkeys(c.arms))).judged("rates need")

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and those of the data's domains that there are sets for."""
        from misdirection.questions import question_sets

        return (self.open_set, *(name for name in domains_of(self.data) if name in question_sets()))
