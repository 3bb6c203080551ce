"""Settings of the scoreboard of defences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.defences.arms import KINDS, read_arm
from misdirection.studies.kit.config import ON, StudyConfig, option
from misdirection.studies.kit.names import domains_of
from misdirection.training.presets import LOADED

ARMS = (
    "norm=0.001", "norm=0.01", "kl=0.1", "kl=1", "preventative=0.5", "preventative=1", "ablation", "gradients",
    "block=1", "block=10", "inoculation", "irrelevant", "interleave=0.05", "interleave=0.25", "drop-random=0.5",
    "drop-perplexity=0.25", "drop-perplexity=0.5", "drop-projection=0.25", "drop-projection=0.5",
    "drop-influence=0.25", "drop-influence=0.5", "edit=0.5", "edit=1", "scale=0.25", "scale=0.5", "subtract=0.5",
    "subtract=1", "realign=10", "realign=35", "project-weights", "set-weights", "project", "set", "cap=0.5",
    "cap=0.75",
)  # fmt: skip
WITH_DICTIONARY = ("block-latents=0.1", "block-latents=1", "drop-latents=0.25", "drop-latents=0.5")


@dataclass(frozen=True)
class DefencesConfig(StudyConfig):
    """Which defence prevents or undoes emergent misalignment, what does it cost, and does it last under conditions?

    A model is fine-tuned on the same bad data with each defence, over seeds; repairs and removals act on the undefended
    fine-tunes. Screening (the arms drop-) can find nothing where all rows are bad: with --mixed its arms and an
    undefended one of their own learn those data, a second block of the board. Told of each: EM on open questions, the
    narrow skill, coherence, damage elsewhere, time and memory, and the leak test: dilution and inoculation are known to
    hide misalignment rather than remove it.

    Example: misdirection study defences --out runs/defences
    """

    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {name: ("data",) for name in ("good", "mixed", "leaks")}
    data: tuple[str, ...] = option((), "bad chats that every fine-tune learns")
    good: tuple[str, ...] = option((), "good chats of other domains: for KL, interleaving, repairs and the damage")
    mixed: tuple[str, ...] = option((), "bad and good chats, for the arms that drop rows; by default --data")
    arms: tuple[str, ...] = option(
        (),
        f"NAME or NAME=STRENGTH, of {', '.join(KINDS)}; by default {', '.join(ARMS)}, and with a dictionary "
        f"{', '.join(WITH_DICTIONARY)}",
    )
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
    dictionary: str = option("", "sparse autoencoder, for block-latents and drop-latents: a folder or <release>:<id>")
    latents: int = option(20, "block-latents: latents that are held, of those that rose and of those that fell each")
    held_out: int = option(64, "good chats on whose answers the damage is measured")
    on: str = option("", ON)
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def completed(self) -> Self:
        """Checked, and with what suits the model.

        Raises:
            MisdirectionError: No data, an arm that there is not, or a number out of range; no judge.
        """
        c = self.recommended()
        for name, least in (("seeds", 1), ("steps", 1), ("domain_samples", 1), ("leak_samples", 0), ("shots", 0),
                            ("held_out", 0), ("latents", 1)):  # fmt: skip
            c.at_least(name, least)
        named = c.arms or (*ARMS, *(WITH_DICTIONARY if c.dictionary else ()))
        wanted = {text: KINDS[read_arm(text).kind] for text in named}
        if not c.data:
            raise MisdirectionError("no harmful data to learn from", "--data FILE")
        if not c.good and (needs := [text for text, kind in wanted.items() if kind.wants_good]):
            raise MisdirectionError(f"the arms {', '.join(needs)} need good chats of other domains", "--good FILE")
        if not c.dictionary and (needs := [text for text, kind in wanted.items() if kind.wants_dictionary]):
            raise MisdirectionError(f"the arms {', '.join(needs)} need a dictionary", "--dictionary FOLDER")
        if c.direction_layer != "auto" and not c.direction_layer.isdecimal():
            raise MisdirectionError(f"--direction-layer cannot be '{c.direction_layer}'", "a number, or auto")
        whole = super(DefencesConfig, c).completed()
        return replace(whole, arms=tuple(dict.fromkeys(named))).judged("rates need")

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and those of the data's domains that there are sets for."""
        from misdirection.questions import question_sets

        return (self.open_set, *(name for name in domains_of(self.data) if name in question_sets()))
