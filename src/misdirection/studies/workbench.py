"""The bench of an audit, and of the commands that do one part of it.

Each property is a step of the run that is done when it is first asked for, and found again later: `bench.direction`
samples and judges before it subtracts, unless that was done already.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.runs import Step
from misdirection.studies.bench import Asked, Bench, fine_tune, subject_of
from misdirection.studies.conditions import BASE, TUNED, Condition
from misdirection.studies.config import AuditConfig
from misdirection.studies.steps import Judged, direction_step, drift_step, judge_step, refusal, sample_step
from misdirection.studies.subject import Subject


class Workbench(Bench[AuditConfig]):
    """The bench of an audit: base and tuned model, their answers, verdicts, drift and direction."""

    @classmethod
    @contextmanager
    def reopen(cls, out: str | Path, command: str = "", **changes: Any) -> Generator[Workbench]:
        """Reopen a run with the settings that it was made with, some of them changed.

        Raises:
            MisdirectionError: The folder holds no run of this kind.
        """
        file = Path(out) / "run.json"
        if not file.exists():
            raise MisdirectionError(f"{out} holds no run", "make one with: misdirection sample or misdirection audit")
        held = read_json(file).get("facts", {}).get("config")
        if not held:
            raise MisdirectionError(
                f"{out} was not made by sample or audit, so its settings are not known",
                "make a run with: misdirection sample or misdirection audit",
            )
        known = {item.name for item in fields(AuditConfig)}
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in held.items() if name in known
        }
        config = replace(AuditConfig(**values), **{name: v for name, v in changes.items() if v is not None})
        with cls.open(out, config, command) as bench:
            yield bench

    @cached_property
    def training(self) -> Step | None:
        """The fine-tune, where the settings name data."""
        return fine_tune(self)

    @cached_property
    def subject(self) -> Subject:
        """Base and tuned model; fine-tuned first where the settings name data."""
        return subject_of(self.config, self.training)

    @cached_property
    def answers(self) -> Step:
        """Answers of base and tuned model to all questions."""
        arms = (BASE, TUNED)
        return sample_step(
            self.run, "answers", self.subject, self.questions, arms, self.config.samples, self.sampling()
        )

    @cached_property
    def verdicts(self) -> Step:
        """Verdicts on `answers`."""
        return judge_step(self.run, "verdicts", self.answers, self.judge)

    @cached_property
    def judged(self) -> Judged:
        """Answers with verdicts."""
        return Asked(self.answers, self.verdicts).judged

    @cached_property
    def drift(self) -> Step:
        """What tuning moved, without a judge."""
        c = self.config
        return drift_step(self.run, self.subject, self.answers, self.convention, c.drift_samples, c.seed)

    @cached_property
    def direction(self) -> Step:
        """The misalignment direction, or why there is none (`refusal`)."""
        c = self.config
        return direction_step(
            self.run, self.subject, self.open_questions, self.answers, self.verdicts, self.convention, c.seed
        )

    @cached_property
    def refusal(self) -> str | None:
        """Why nothing can be steered with a misalignment direction, None where it can."""
        if not self.open_questions:
            return "no open question is asked"
        return refusal(self.direction)

    def measure(self, name: str, conditions: Sequence[Condition], samples: int, stream: int = 0) -> Judged:
        """Ask the open questions under every condition and judge the answers."""
        source = self.direction if any(c.operation != "none" for c in conditions) else None
        if source is not None and self.refusal:
            raise MisdirectionError(f"there is no misalignment direction: {self.refusal}")
        return self.ask(name, self.subject, conditions, samples=samples, stream=stream, directions=source).judged
