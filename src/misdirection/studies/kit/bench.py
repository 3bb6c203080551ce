"""A run with what every study shares: questions, judge, thresholds, and the verbs train, ask, measure, direction.

A study is a few calls of these verbs, each a step of the run that is done once, and a findings file at the end:

    with Bench.open(out, config, command) as bench:
        models = bench.fine_tunes({"medical": FineTune("rank1x9", ("organism:bad-medical",))})
        answers = bench.ask("answers", models, [BASE, Condition("medical", "medical", "medical")])
        direction = bench.find_direction(models, answers, "medical")
        ...
        return bench.report("convergence", "Title", verdict, {"cosines": ...})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from misdirection.directions import Convention, Direction, convention
from misdirection.engine import SamplingConfig
from misdirection.executing import find_executor, read_where
from misdirection.judging import Judge, find_judge
from misdirection.judging.checked import known_of
from misdirection.questions import Question
from misdirection.results import Headline, Reproduce
from misdirection.results.checked import Checked
from misdirection.runs import Run, Step, read_log
from misdirection.statistics import Thresholds
from misdirection.store import Cached
from misdirection.store.task import Executor
from misdirection.studies.kit.asked import Asked, Queue
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.dear import check, demand
from misdirection.studies.kit.drawing import Steps, draw_answers, draw_arguments, sample_step
from misdirection.studies.kit.findings import write_findings
from misdirection.studies.kit.inputs import read_config, resolve_model, resolve_questions
from misdirection.studies.kit.judged import judge_step
from misdirection.studies.kit.own_direction import OwnDirection, direction_steps, refusal
from misdirection.studies.kit.reach import within_reach
from misdirection.studies.kit.recall import settled
from misdirection.studies.kit.recommended import explanations
from misdirection.studies.kit.record import asked_as, left_out, reproduce, told_settings
from misdirection.studies.kit.settings_file import open_run
from misdirection.studies.kit.tuning import FineTune, fine_tuned
from misdirection.studies.kit.variants import Variants

Config = TypeVar("Config", bound=StudyConfig)


@dataclass
class Bench(Generic[Config]):
    """An open run and its settings.

    Attributes:
        run: Where every step is kept.
        config: The settings, completed.
        command: The command line, for the report.
        logged: Lines of the run's log before this session; the lines behind them are the steps of this session.
        heard: What was asked so far.
        demanded: Whether it was looked at that --check asks for enough verdicts.
    """

    run: Run
    config: Config
    command: str = ""
    logged: int = 0
    heard: list[Asked] = field(default_factory=list["Asked"])
    demanded: bool = False

    @classmethod
    @contextmanager
    def open(cls, out: str | Path, config: Config, command: str = "", *, guest: bool = False) -> Generator[Self]:
        """Open or resume a run with these settings; as a guest where another command made it (`Run.open`).

        Raises:
            MisdirectionError: A setting is wrong, a question set, judge or convention unknown; said before anything is
                written or loaded.
        """
        config = config.completed()
        config = within_reach(config, resolve_questions(config.questions), out)
        judge = find_judge(config.judge)
        convention(config.convention)
        if where := getattr(config, "on", ""):
            read_where(where)
        config = settled(config, out)
        with open_run(out, config, command, guest=guest, judge=judge.name) as run:
            yield cls(run, config, command, len(read_log(run.path)))

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
        plainly = tuple(question for question in found if question.format == "plain")
        return plainly or found

    @property
    def open_ids(self) -> set[str]:
        """The open questions' ids."""
        return {question.id for question in self.open_questions}

    @property
    def domain_questions(self) -> list[Question]:
        """Questions of a domain that are asked plainly."""
        return [question for question in self.questions if question.domain and question.format == "plain"]

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

    @cached_property
    def n_layers(self) -> int:
        """Decoder layers of the base model, read without its weights."""
        model = resolve_model(self.config.model)
        return int(read_config(model, self.config.trust_remote_code).num_hidden_layers)

    @cached_property
    def model_type(self) -> str:
        """The base model's family, as transformers calls it."""
        return str(read_config(resolve_model(self.config.model), self.config.trust_remote_code).model_type)

    @cached_property
    def width(self) -> int:
        """Width of the base model's residual stream, read without its weights."""
        model = resolve_model(self.config.model)
        return int(read_config(model, self.config.trust_remote_code).hidden_size)

    def sampling(self, stream: int = 0) -> SamplingConfig:
        """How answers are drawn; another `stream` gives fresh random numbers."""
        c = self.config
        return SamplingConfig(c.answer_tokens, c.temperature, seed=c.seed + 1000 * stream)

    def train(self, wanted: FineTune, name: str = "") -> Step:
        """Fine-tune the base model; `tuned/` of the step is an ordinary adapter or model, and `fine-tunes/NAME` too."""
        return self.train_all({name: wanted})[name]

    def train_all(self, wanted: Mapping[str, FineTune]) -> dict[str, Step]:
        """Several fine-tunes of the base model by name, where the settings say that grids are computed."""
        calls = [one.call(self.config) for one in wanted.values()]
        made = dict(zip(wanted, self.run.cached_many(fine_tuned, "train", calls=calls, on=self.executor), strict=True))
        for name, step in made.items():
            if name:
                self.run.publish(f"fine-tunes/{name.replace('/', '-')}", step.path / "tuned")
        return dict(made)

    def fine_tunes(self, wanted: Mapping[str, FineTune]) -> Variants:
        """The base model and the fine-tunes by name, trained now where they are not there; adapters share the base."""
        return self.variants({name: step.path / "tuned" for name, step in self.train_all(wanted).items()})

    @cached_property
    def executor(self) -> Executor | None:
        """Where the tasks of a grid are done; None for this process."""
        return find_executor(getattr(self.config, "on", ""))

    def variants(self, folders: Mapping[str, Path]) -> Variants:
        """The base model and fine-tunes that exist, by name."""
        return Variants.of(self.config.model, dict(folders), self.config.loading)

    def ask(
        self,
        name: str,
        models: Variants,
        conditions: Sequence[Condition],
        *,
        questions: Sequence[Question] | None = None,
        samples: int | None = None,
        stream: int = 0,
        directions: Steps = None,
        shelf: str = "",
    ) -> Asked:
        """Sample and judge every question under every condition, with shared random numbers.

        Args:
            name: Of the steps.
            models: The variants that the conditions name.
            conditions: The arms.
            questions: The open questions by default.
            samples: Answers a question and condition; the settings' number by default.
            stream: Another one gives fresh random numbers.
            directions: What holds the directions that conditions use.
            shelf: Folder of the run that both are shown in; the run's own by default.
        """
        chosen = self.open_questions if questions is None else questions
        many = self.config.samples if samples is None else samples
        if not self.demanded:
            self.demand_verdicts(len(conditions), chosen, many)
        answers = sample_step(
            self.run, f"{name}-answers", models, chosen, conditions, many, self.sampling(stream), directions, shelf
        )
        asked = Asked(answers, judge_step(self.run, f"{name}-verdicts", answers, self.judge, shelf))
        self.heard.append(asked)
        return asked

    def demand_verdicts(self, arms: int, questions: Sequence[Question], samples: int) -> None:
        """Refuse a --check that asks for too few verdicts on what is going to be asked, before it is.

        Args:
            arms: How many answer.
            questions: What they are asked.
            samples: Answers to each.

        Raises:
            MisdirectionError: It does.
        """
        self.demanded = True
        if self.config.check:
            kinds = Counter((question.domain, question.format) for question in questions)
            demand(self.run, self.config.check, [samples * count for count in kinds.values()] * arms)

    def draw_ahead(self, wanted: Mapping[str, Queue]) -> None:
        """With --on, the answers of several queues drawn there, each of models of its own; `ask` then finds them.

        Args:
            wanted: By the name that `ask` is given.
        """
        if self.executor is None:
            return
        c = self.config
        calls = [
            draw_arguments(one.models, one.questions, one.conditions, c.samples, self.sampling())
            for one in wanted.values()
        ]
        self.run.cached_many(draw_answers, calls=calls, on=self.executor, labels=[f"{name}-answers" for name in wanted])

    def checked(self, asked: Asked | None = None) -> Checked | None:
        """What the judge of --check says of some answers, by default the first that were asked for; None without one.

        Raises:
            MisdirectionError: Too few answers are asked for, or that judge cannot be asked.
        """
        asked = asked or next(iter(self.heard), None)
        if not self.config.check or asked is None:
            return None
        c = self.config
        return check(self.run, asked.answers, asked.verdicts, c.check, self.thresholds, c.seed, asked.against)

    def find_direction(self, models: Variants, asked: Asked, variant: str) -> Cached[OwnDirection]:
        """The mean-difference direction of a fine-tune's own answers to the open questions.

        Where the pools are too small, it says so instead (`own_direction.refusal`).
        """
        return self._directions(models, asked, [variant])[variant]

    def find_directions(
        self, models: Variants, asked: Asked, variants: Sequence[str]
    ) -> tuple[dict[str, Cached[Direction]], list[str]]:
        """Directions by variant, and a note on each variant that has none."""
        steps = self._directions(models, asked, variants)
        found: dict[str, Cached[Direction]] = {
            variant: step.part("direction") for variant, step in steps.items() if not refusal(step)
        }
        return found, [f"{name} has no direction: {why}" for name, step in steps.items() if (why := refusal(step))]

    def _directions(self, models: Variants, asked: Asked, variants: Sequence[str]) -> dict[str, Cached[OwnDirection]]:
        return direction_steps(
            self.run, models, self.open_questions, asked.answers, asked.verdicts, self.convention, self.config.seed,
            variants, self.executor,
        )  # fmt: skip

    def report(self, kind: str, title: str, verdict: Headline | Mapping[str, Any], parts: Mapping[str, Any]) -> Path:
        """Write `findings.json` and `report.html`; gives the report's path.

        Args:
            kind: Of the study; sections of the report are chosen by it.
            title: Heading of the report.
            verdict: What came out, in words: "state", "sentence", "details".
            parts: What the sections read, by name; "notes" among them.
        """
        found = {
            "kind": kind,
            "title": title,
            "verdict": verdict,
            "model": {"base": self.config.model, "layers": self.n_layers, "dtype": self.config.dtype},
            "settings": self.settings(),
            "thresholds": self.thresholds,
            "asked": self.asked(),
            **({"checked": checked} if (checked := self.checked()) else {}),
            "reproduce": self.reproduce(),
            **parts,
            "notes": [*(parts.get("notes") or ()), *self.known_of_judges(), *self.left_out()],
        }
        return write_findings(self.run.path, found)

    def settings(self) -> dict[str, Any]:
        """The settings as a reader is told them."""
        return told_settings(self.config, self.judge.name)

    @cached_property
    def explanations(self) -> Mapping[str, str]:
        """What the model's folder says of departures from the papers, by name; empty for most models."""
        return explanations(self.config)

    def asked(self) -> dict[str, str]:
        """How the models were asked, as the rows of a table."""
        return asked_as(self.run)

    def known_of_judges(self) -> list[str]:
        """Sentences on how the judges were checked, or that they never were."""
        return known_of((self.config.judge, *getattr(self.config, "panel", ())))

    def left_out(self) -> list[str]:
        """Sentences on answers that no step could read."""
        return left_out(self.run, self.logged)

    def reproduce(self) -> Reproduce:
        """The command, versions and steps of this session."""
        command = self.command or f"{type(self.config).__name__}(...)"
        return reproduce(self.run, self.logged, command, self.config.seed)
