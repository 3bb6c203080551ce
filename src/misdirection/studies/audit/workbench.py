"""The bench of an audit, and of the commands that do one part of it.

Each property is a step of the run that is done when it is first asked for, and found again later: `bench.direction`
samples and judges before it subtracts, unless that was done already.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.directions import Direction, read_direction
from misdirection.errors import MisdirectionError, command
from misdirection.features.lens import Lens
from misdirection.judging import Answer, Verdict
from misdirection.runs import Step
from misdirection.serving import read_servers
from misdirection.store import Cached
from misdirection.studies.audit.components import components_left
from misdirection.studies.audit.drift import Moved, moved_by_tuning
from misdirection.studies.audit.latents import ChosenLatents, choose_latents
from misdirection.studies.audit.results import ComponentLeft
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.audit.thoughts import thoughts_of
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.caps import Caps, cap_thresholds
from misdirection.studies.kit.conditions import BASE, RANDOM_SEEDS, TUNED, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.drawing import sample_step
from misdirection.studies.kit.judged import Judged, judge_step
from misdirection.studies.kit.lens import open_lens
from misdirection.studies.kit.own_direction import direction_steps, refusal, vector_of
from misdirection.studies.kit.pair import fine_tune, pair_of
from misdirection.studies.kit.panel import PanelVerdicts, panel_of
from misdirection.studies.kit.recall import held_in, make_one, recall
from misdirection.studies.kit.served import alike_at_zero, served_step
from misdirection.studies.kit.variants import Variants


class Workbench(Bench[AuditConfig]):
    """The bench of an audit: base and tuned model, their answers, verdicts, drift and direction."""

    @classmethod
    @contextmanager
    def reopen(cls, out: str | Path, typed: str = "", **changes: Any) -> Generator[Workbench]:
        """Reopen a run with the settings that it was made with, some of them changed.

        Raises:
            MisdirectionError: The folder holds no run of this kind.
        """
        make = f"make a run with: {make_one(out)}"
        if not (Path(out) / "run.json").exists():
            raise MisdirectionError(f"{out} holds no run", make)
        held = held_in(out)
        if held is None:
            raise MisdirectionError(f"{out} was not made by sample or audit, so its settings are not known", make)
        config, said = recall(
            SampleConfig if held.kind == "SampleConfig" else AuditConfig,
            held,
            {name: value for name, value in changes.items() if value is not None},
        )
        for line in said:
            progress.say(f"  {line}")
        if changes.get("dictionary"):
            # One that does not fit is refused before the run remembers it.
            open_lens(config, config.dictionary)
        with cls.open(out, config, typed, guest=True) as bench:
            yield bench

    @cached_property
    def models(self) -> Variants:
        """The base, and what was made of it: several adapters by name, one that is called "tuned", or nothing.

        It is fine-tuned first where the settings name data.
        """
        several = named(getattr(self.config, "adapters", ()), "adapter")
        if several:
            return Variants(self.config.model, dict(several), self.config.loading)
        return pair_of(self.config, self.training)

    @property
    def arms(self) -> tuple[Condition, ...]:
        """Who answers: the base, and each tuned variant."""
        several = named(getattr(self.config, "adapters", ()), "adapter")
        c = self.config
        if several:
            return (BASE, *(Condition(name, f"adapter {name}", name) for name in several))
        return (BASE, TUNED) if c.adapter or c.tuned or c.data else (BASE,)

    def need_tuned(self) -> None:
        """Refuse a run that has no one tuned model.

        Raises:
            MisdirectionError: It is of a base alone, or of several adapters.
        """
        if TUNED in self.arms:
            return
        c = self.config
        several = list(named(getattr(c, "adapters", ()), "adapter").values())
        what = f"{len(several)} adapters" if several else "the base model alone"
        hint = command("sample", "--model", c.model, "--adapter", (several or ["FOLDER"])[0], "--out", "FOLDER")
        raise MisdirectionError(
            f"{self.run.path} is a run of {what}, and this needs one tuned model", f"sample it first: {hint}"
        )

    @cached_property
    def training(self) -> Step | None:
        """The fine-tune, where the settings name data."""
        return fine_tune(self)

    @cached_property
    def answers(self) -> Cached[list[Answer]]:
        """Answers of base and tuned variants to all questions, drawn here or by the servers that are named.

        Raises:
            MisdirectionError: The dear judge is to be asked about too few of them.
        """
        self.demand_verdicts(len(self.arms), self.questions, self.config.samples)
        if self.config.serve:
            return served_step(
                self.run, "answers", self.models, read_servers(self.config.serve), self.questions, self.arms,
                self.config.samples, self.sampling(),
            )  # fmt: skip
        return sample_step(
            self.run, "answers", self.models, self.questions, self.arms, self.config.samples, self.sampling()
        )

    @property
    def alike_at_zero(self) -> int:
        """Questions that the served tuned model answered as the served base at temperature 0, if all; else 0."""
        return alike_at_zero(self.answers, TUNED.name) if self.config.serve else 0

    @cached_property
    def verdicts(self) -> Cached[list[Verdict]]:
        """Verdicts on `answers`."""
        return judge_step(self.run, "verdicts", self.answers, self.judge)

    @cached_property
    def judged(self) -> Judged:
        """Answers with verdicts."""
        return Asked(self.answers, self.verdicts).judged

    @cached_property
    def thoughts(self) -> Judged | None:
        """What was thought before the answers, in their place and judged apart from them; None where nothing was."""
        if not any((answer.thought or "").strip() for answer in self.judged.answers):
            return None
        thoughts = self.run.cached(thoughts_of, "thoughts", answers=self.answers)
        return Asked(thoughts, judge_step(self.run, "thought-verdicts", thoughts, self.judge)).judged

    @cached_property
    def panel(self) -> PanelVerdicts | None:
        """All judges on `answers`, where others stand beside the first."""
        names = (self.config.judge, *self.config.panel)
        return panel_of(self.run, self.answers, self.verdicts, names, self.thresholds)

    @cached_property
    def drift(self) -> Cached[Moved]:
        """What tuning moved, without a judge."""
        self.need_tuned()
        return self.run.cached(
            moved_by_tuning, "drift", models=self.models, answers=self.answers, how=self.convention,
            most=self.config.drift_samples, seed=self.config.seed,
        )  # fmt: skip

    given: Cached[Direction] | None = None
    """A direction from a file, which takes the place of the run's own; see `take`."""

    def take(self, file: str | Path, layer: int | None = None, otherwise: int | None = None) -> Direction:
        """Use the direction of a file, in any form, instead of the run's own.

        Args:
            file: What `directions.read_direction` reads.
            layer: Which layer it belongs to, where the file holds one vector and does not say.
            otherwise: Which it belongs to where neither tells.

        Raises:
            DirectionError: It is none, or not one of this model.
        """
        self.given = self.run.cached(
            read_direction, "given-direction", path=Path(file), n_layers=self.n_layers, width=self.width, layer=layer,
            otherwise=otherwise,
        )  # fmt: skip
        return self.given.value

    @cached_property
    def direction(self) -> Cached[Any]:
        """The misalignment direction, or why there is none (`refusal`); the one from a file where one was given."""
        if self.given is not None:
            return self.given
        self.need_tuned()
        c = self.config
        return direction_steps(
            self.run,
            self.models,
            self.open_questions,
            self.answers,
            self.verdicts,
            self.convention,
            c.seed,
            [TUNED.name],
        )[TUNED.name]

    @cached_property
    def refusal(self) -> str | None:
        """Why nothing can be steered with a misalignment direction, None where it can."""
        if self.given is not None:
            return None
        self.need_tuned()
        if not self.open_questions:
            return "no open question is asked"
        return refusal(self.direction)

    def caps(self, layers: Sequence[int]) -> Caps:
        """Thresholds of capping along the direction, along some layers' vectors everywhere, and along random ones."""
        return self.run.cached(
            cap_thresholds, "caps", models=self.models, answers=self.answers,
            questions=[question.id for question in self.open_questions], direction=vector_of(self.direction),
            singles=tuple(layers), random_seeds=RANDOM_SEEDS, quantile=self.config.cap_quantile,
            most=self.config.drift_samples,
        ).value  # fmt: skip

    @cached_property
    def lens(self) -> Lens | None:
        """The dictionary of the settings and its layer; None where none is named.

        Raises:
            DictionaryError: It does not fit the model.
        """
        return open_lens(self.config, self.config.dictionary) if self.config.dictionary else None

    def latents(self, lens: Lens) -> ChosenLatents:
        """Which latents of a dictionary are held at 0, and random ones of like activity."""
        return self.run.cached(
            choose_latents, "latents", models=self.models, lens=lens, judged=Asked(self.answers, self.verdicts).kept,
            questions=[question.id for question in self.open_questions], how=self.convention,
            most=self.config.drift_samples, seed=self.config.seed, random_seeds=RANDOM_SEEDS,
        ).value  # fmt: skip

    def left(self, name: str, models: Variants, conditions: Sequence[Condition]) -> tuple[ComponentLeft, ...]:
        """The component of misaligned answers along the direction after every layer, under each condition."""
        return self.run.cached(
            components_left, name, models=models, conditions=conditions, judged=Asked(self.answers, self.verdicts).kept,
            questions=[question.id for question in self.open_questions], direction=vector_of(self.direction),
            how=self.convention, seed=self.config.seed,
        ).value  # fmt: skip

    def measure(self, name: str, conditions: Sequence[Condition], samples: int, stream: int = 0) -> Judged:
        """Ask the open questions under every condition and judge the answers."""
        if any(c.variant != "base" for c in conditions) or self.given is None:
            self.need_tuned()
        source = self.direction if any(c.along for c in conditions) else None
        if source is not None and self.refusal:
            raise MisdirectionError(f"there is no misalignment direction: {self.refusal}")
        return self.ask(name, self.models, conditions, samples=samples, stream=stream, directions=source).judged
