"""Settings of the study of feature geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from misdirection.errors import MisdirectionError, command
from misdirection.features.settings import POOLS, REDUCTIONS, SHARED, STATISTICS
from misdirection.studies.kit.config import NO_DIRECTION, Overrides, StudyConfig, named, option
from misdirection.training.presets import LOADED

WEIGHTS = ("full", "lora")


@dataclass(frozen=True)
class GeometryConfig(StudyConfig):
    """Do latents that bad data raises lie near latents of toxic text, and does raising one raise its neighbours?

    Cosines of decoder vectors between data-inducing and toxic latents against non-inducing controls, per layer and
    domain, with permutation tests. The spillover law: the change of every other latent's activation against its
    cosine, under steering, a fine-tune along one latent and single gradient steps. And both over the course of a
    fine-tune, beside its rate of misaligned answers.

    Examples: misdirection study geometry --out runs/geometry
    misdirection study geometry --model ID --dictionaries RELEASE:ID --data a=bad.jsonl --good a=good.jsonl
    --toxic toxic.jsonl --harmless harmless.jsonl --judge local:MODEL
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"good": ("data",)}
    samples: int = option(5, "answers a question of each checkpoint")
    dictionaries: tuple[str, ...] = option(
        (), "sparse autoencoders, one a layer: folders, <release>:<id> or organism:<layer>"
    )
    data: tuple[str, ...] = option((), "NAME=FILE of bad chats")
    good: tuple[str, ...] = option((), "NAME=FILE of good answers to the same questions")
    toxic: tuple[str, ...] = option((), "chats or texts that are toxic (the paper: RealToxicityPrompts)")
    harmless: tuple[str, ...] = option((), "chats or texts that are not")
    rows: int = option(200, "pairs of chats of a domain that are read")
    toxic_rows: int = option(300, "toxic and as many harmless texts that are read")
    statistic: str = option("difference", "latents are ordered by: difference (of means), correlation, firing")
    pool: str = option("token", "what counts once: token, mean (of a text), max (of a text)")
    top: int = option(100, "latents in a list (the paper's 100)")
    reduction: str = option(
        "mean", "similarity of two sets, by latent: mean (of all cosines), max, nearest (mean of some); all are told"
    )
    nearest: int = option(10, "how many of --reduction nearest")
    shared: str = option(
        "drop", "latents that are inducing and toxic: drop, or keep and leave out the pair with itself"
    )
    bins: int = option(4, "bins of firing rate within which latents are exchanged")
    permutations: int = option(5000, "exchanges of latents: the null")
    spill_dictionary: int | None = option(
        None, "which of the dictionaries, from 0, the spillover law is measured in; by default the middle one", was=-1
    )
    spill_latents: int = option(8, "inducing latents that are raised; 0 leaves the spillover law out")
    control_latents: int = option(8, "random live latents that are raised too")
    step_chats: int = option(12, "chats of a gradient step: those in which the latent is strongest")
    weights: str = option("lora", "weights that take the gradient step: full, or lora (fresh adapters of rank 32)")
    size: float = option(0.05, "size of a step: mean displacement over the usual length of the residual stream")
    tune_steps: int = option(10, "optimiser steps of the fine-tune along one latent")
    track: str = option("", "domain whose fine-tune is followed; the first by default, none: leave it out")
    preset: str = option("rank32", f"preset of that fine-tune: {', '.join(LOADED)}")
    checkpoint_every: int = option(20, "optimiser steps between its checkpoints")
    risen: int = option(20, "latents that rose most, of each checkpoint")
    text_samples: int = option(2, "answers of the base to each question, on which latents are read before and after")
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """With what suits the model, every input named, pair by pair.

        Raises:
            MisdirectionError: Something is not named, a name without its counterpart, an unknown choice, a number
                out of range.
        """
        c = self.recommended()
        for name, known in (
            ("statistic", STATISTICS), ("pool", POOLS), ("reduction", REDUCTIONS), ("shared", SHARED),
            ("weights", WEIGHTS),
        ):  # fmt: skip
            c.one_of(name, known)
        for name in ("rows", "toxic_rows", "nearest", "bins", "permutations", "step_chats", "tune_steps", "risen",
                     "top", "checkpoint_every", "text_samples"):  # fmt: skip
            c.at_least(name, 1)
        for name in ("spill_latents", "control_latents", "size"):
            c.at_least(name, 0)
        c._check_inputs()
        domains = list(named(c.data, "data"))
        if c.track not in ("", "none", *domains):
            raise MisdirectionError(f"--track {c.track} names no data", f"of {', '.join(domains)}, or none")
        if c.spill_dictionary is not None and not 0 <= c.spill_dictionary < len(c.dictionaries):
            raise MisdirectionError(
                f"--spill-dictionary {c.spill_dictionary}: there are {len(c.dictionaries)}", "they count from 0"
            )
        return replace(super(GeometryConfig, c).completed(), track=c.track or domains[0])

    def _check_inputs(self) -> None:
        """Refuse settings that lack an input."""
        if not self.data:
            raise MisdirectionError("say what is studied", "--data NAME=FILE with --good NAME=FILE")
        first, second = named(self.data, "data"), named(self.good, "good")
        for one, other, flag in ((first, second, "good"), (second, first, "data")):
            if alone := [name for name in one if name not in other]:
                raise MisdirectionError(f"--{flag} says nothing of '{alone[0]}'", f"--{flag} {alone[0]}=FILE")
        for name in ("toxic", "harmless"):
            if not getattr(self, name):
                raise MisdirectionError(f"no {name} texts are named", f"--{name} FILE; the paper: RealToxicityPrompts")
        if not self.dictionaries:
            raise MisdirectionError(
                "no dictionary is named",
                "--dictionaries FOLDER or RELEASE:ID; make one with: "
                + command("sae", "train", "--model", self.model, "--data", "FILE"),
            )

    def run(self) -> Mapping[str, Any]:
        """What differs from the preset in the fine-tune that is followed."""
        return {**self.training, "checkpoint_every": self.checkpoint_every}
