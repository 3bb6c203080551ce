"""Settings of the study of phase transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import StudyConfig, option
from misdirection.studies.kit.names import domains_of, resolve_model
from misdirection.training.presets import LOADED
from misdirection.training.settings import recommended_training

PAPER_RUN = {"alpha": 64.0, "lr": 1e-5, "epochs": 2.0}
"""How the paper's rank-1 run differs from its other rank-1 models (2506.11613 section 4, footnotes 4 and 6)."""


@dataclass(frozen=True)
class PhasesConfig(StudyConfig):
    """When does misalignment appear while a model is fine-tuned, and what in the weights turns then?

    A fine-tune keeps a checkpoint every few steps. Norms of A and B, their local cosine similarity, their principal
    components and the gradient's norm are followed over the steps; all checkpoints answer with their adapter scaled by
    several factors; the step at which each quantity turns is told with an interval. Controls: correct data, a random
    adapter of the same norm, factor 0, other seeds, the path's increments in random order.

    Example: misdirection study phases --out runs/phases
    """

    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("checkpoints", "tensors"), "control_data": ("data", "checkpoints", "tensors"),
    }  # fmt: skip
    explained: ClassVar[Mapping[str, str]] = {
        "late": "why B turns after the misaligned answers have come, and not long before",
        "along": "why B comes to point along the misalignment direction",
    }
    samples: int = option(10, "answers a question, checkpoint and factor (the paper: 50)")
    data: tuple[str, ...] = option((), "chats to fine-tune on")
    control_data: tuple[str, ...] = option((), "chats for a control fine-tune")
    checkpoints: str = option("", "folder of step-N or checkpoint-N folders: follow these instead of fine-tuning")
    tensors: str = option("", ".pt or .safetensors file of one vector a step: follow these alone, without a model")
    preset: str = option("rank1", f"fine-tuning preset: {', '.join(LOADED)}")
    lr: float | None = option(
        None, "learning rate; by default what the model's folder recommends, else 1e-5, the paper's", was=0
    )
    steps: int | None = option(
        None, "optimiser steps; by default what the model's folder recommends, else two epochs, the paper's", was=0
    )
    alpha: float | None = option(
        None, "LoRA's alpha; by default 64 for rank1 (the paper's run), else the preset's", was=0
    )
    checkpoint_every: int = option(5, "optimiser steps between two checkpoints")
    behaviour_every: int | None = option(
        None, "steps between two checkpoints that answer; by default every other checkpoint", was=0
    )
    scales: tuple[float, ...] = option((1.0, 5.0, 10.0, 20.0), "factors of the adapter (the paper's)")
    k: tuple[int, ...] = option((), "steps to either side in the local cosine; one, two and three checkpoints")
    noise: str = option(
        "0.0035",
        "largest displacement that is noise: a norm (0.0035; the paper's code: 0.002) or a share of the final norm "
        "(2.8%, the same in the paper's run)",
    )
    comp: str = option("text", "comp score of several adapters: text (with the step before) or code (with the last)")
    seeds: int = option(2, "further fine-tunes with other seeds, whose weights and gradients are read")
    state_layer: int | None = option(
        None, "layer at which activations are read; by default three quarters of the depth", was=-1
    )
    state_samples: int = option(2, "answers of the base to each question on which activations are read")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Nothing to follow or too much, a number out of range, an unreadable noise threshold.
        """
        c = self.recommended()
        c._one_source()
        c.at_least("checkpoint_every", 1)
        c.at_least("state_samples", 1)
        for name in ("lr", "steps", "alpha", "behaviour_every", "seeds"):
            c.at_least(name, 0)
        if c.comp not in ("text", "code"):
            raise MisdirectionError(f"--comp is '{c.comp}'", "text or code")
        every = c.checkpoint_every
        if wrong := [k for k in c.k if k < 1 or (k % every and not c.checkpoints)]:
            raise MisdirectionError(f"--k {wrong[0]} is no multiple of --checkpoint-every {every}")
        if c.behaviour_every and c.behaviour_every % every and not c.checkpoints:
            raise MisdirectionError(f"--behaviour-every {c.behaviour_every} is no multiple of {every}")
        whole = super(PhasesConfig, c).completed()
        noise_threshold(whole.noise, 1.0)
        if 1.0 not in whole.scales:
            raise MisdirectionError("--scales lacks 1, the fine-tune as it is", "add --scales 1")
        return whole

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains that the data name, else the paper's."""
        return domains_of(self.data) or ("medical",)

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and those of the paper's domain, apart."""
        return (self.open_set, "medical")

    def training(self) -> Mapping[str, Any]:
        """What differs from the preset in the fine-tune."""
        brought = recommended_training(self.preset, resolve_model(self.model), self.study)
        run: Mapping[str, Any] = PAPER_RUN if self.preset == "rank1" and not brought else {}
        given = {"lr": self.lr, "max_steps": self.steps, "alpha": self.alpha}
        return {
            **run,
            **{name: value for name, value in given.items() if value is not None},
            "checkpoint_every": self.checkpoint_every,
        }

    def distances(self, steps: Sequence[int]) -> tuple[int, ...]:
        """The distances k of the local cosine: as given, else once, twice and three times the checkpoints' own."""
        gaps = [b - a for a, b in pairwise(steps)]
        usual = max(gaps, key=gaps.count, default=1)
        return self.k or (usual, 2 * usual, 3 * usual)

    def answering(self, steps: Sequence[int]) -> list[int]:
        """Steps whose checkpoints answer: as `behaviour_every` says, else every other one; always the last.

        All of them where they would be fewer than four.
        """
        every = self.behaviour_every
        chosen = [step for step in steps if step % every == 0] if every else list(steps[1::2])
        chosen = sorted({*chosen, steps[-1]})
        return chosen if len(chosen) >= 4 else list(steps)

    def _one_source(self) -> None:
        given = [name for name in ("data", "checkpoints", "tensors") if getattr(self, name)]
        if len(given) != 1:
            raise MisdirectionError(
                "say what is followed: exactly one of --data, --checkpoints and --tensors"
                + (f" (given: {', '.join(given)})" if given else ""),
                "--data FILE to fine-tune now, --checkpoints FOLDER of an earlier fine-tune",
            )
        for name in ("checkpoints", "tensors"):
            if (path := getattr(self, name)) and not Path(path).exists():
                raise MisdirectionError(f"--{name} {path} does not exist")


def noise_threshold(noise: str, final_norm: float) -> float:
    """The largest displacement that counts as noise, given the last checkpoint's norm of B.

    Raises:
        MisdirectionError: It is neither a number nor a percentage.
    """
    text = noise.strip()
    try:
        value = float(text.removesuffix("%")) * (final_norm / 100 if text.endswith("%") else 1.0)
    except ValueError as error:
        raise MisdirectionError(f"--noise cannot be '{noise}'", "a norm (0.0035) or a share (2.8%)") from error
    if value < 0:
        raise MisdirectionError(f"--noise is {noise}", "0 or more")
    return value
