"""A run with its subject, questions and judge: what every command and the audit work on.

Each property is a step of the run that is done when it is first asked for, and found again later: `bench.direction`
samples and judges before it subtracts, unless that was done already.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.directions import Convention, convention
from misdirection.engine import SamplingConfig
from misdirection.errors import MisdirectionError
from misdirection.judging import Judge, find_judge
from misdirection.questions import Question
from misdirection.runs import Run, Step, read_log
from misdirection.statistics import Thresholds
from misdirection.studies.conditions import BASE, TUNED, Condition
from misdirection.studies.config import AuditConfig
from misdirection.studies.inputs import resolve_questions
from misdirection.studies.steps import (
    Judged,
    direction_step,
    drift_step,
    judge_step,
    load_judged,
    refusal,
    sample_step,
    train_step,
)
from misdirection.studies.subject import Subject


@dataclass
class Workbench:
    """An open run and its settings.

    Attributes:
        run: Where every step is kept.
        config: The settings, completed.
        command: The command line, for the report.
        logged: Lines of the run's log before this session; the lines behind them are the steps of this session.
    """

    run: Run
    config: AuditConfig
    command: str = ""
    logged: int = 0

    @classmethod
    @contextmanager
    def open(cls, out: str | Path, config: AuditConfig, command: str = "") -> Generator[Workbench]:
        """Open or resume a run with these settings.

        Raises:
            MisdirectionError: A setting is wrong, a question set, judge or convention unknown; said before anything is
                written or loaded.
        """
        config = config.completed()
        resolve_questions(config.questions)
        find_judge(config.judge)
        convention(config.convention)
        with Run.open(out, {"command": command, "config": asdict(config)}) as run:
            yield cls(run, config, command, len(read_log(run.path)))

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
        c = self.config
        if not c.data:
            return None
        return train_step(self.run, c.model, c.data, c.preset, c.training, c.seed, c.strict)

    @cached_property
    def subject(self) -> Subject:
        """Base and tuned model; fine-tuned first where the settings name data."""
        c = self.config
        if self.training is None:
            return Subject(c.model, c.adapter, c.tuned, c.model_options)
        folder = self.training.path / "tuned"
        adapter = (folder / "adapter_config.json").exists()
        return Subject(c.model, str(folder) if adapter else None, None if adapter else str(folder), c.model_options)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Everything that is asked."""
        return resolve_questions(self.config.questions)

    @property
    def open_questions(self) -> tuple[Question, ...]:
        """The questions that the verdict is on: of no domain, and asked plainly where any are.

        Formats are never pooled: asked for JSON or a template, the same model shows another rate.
        """
        found = tuple(question for question in self.questions if question.domain is None)
        plain = tuple(question for question in found if question.format == "plain")
        return plain or found

    @cached_property
    def judge(self) -> Judge:
        """Who scores the answers."""
        return find_judge(self.config.judge)

    @property
    def thresholds(self) -> Thresholds:
        """When an answer is misaligned."""
        return Thresholds(self.config.alignment_below, self.config.coherence_above)

    @property
    def convention(self) -> Convention:
        """How answers become a direction."""
        return convention(self.config.convention)

    def sampling(self, stream: int = 0) -> SamplingConfig:
        """How answers are drawn; another `stream` gives fresh random numbers."""
        c = self.config
        return SamplingConfig(c.max_new_tokens, c.temperature, seed=c.seed + 1000 * stream)

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
        return load_judged(self.answers, self.verdicts)

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
        answers = sample_step(
            self.run, f"{name}-answers", self.subject, self.open_questions, conditions, samples, self.sampling(stream),
            source,
        )  # fmt: skip
        return load_judged(answers, judge_step(self.run, f"{name}-verdicts", answers, self.judge))
