"""What a command will cost before it starts: answers, tokens, calls of the judge, time, money, and what it can show.

Nothing is loaded for it: question files, the model's config.json and the headers of its weights are all that is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.errors import MisdirectionError
from misdirection.judging.check import read_check
from misdirection.judging.rubrics import Rubrics, choose_rubrics
from misdirection.questions import Question
from misdirection.statistics import none_seen_bound, smallest_change
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.speed import clock, depth_of, seconds_of
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_questions

CURES = 16
"""Ways of removing a direction, controls included (`conditions.cures`)."""

LATENTS, HOLDS = 2, 4
"""Lists of latents that the sweep tries with a dictionary, and arms of the one that is measured, controls included."""

REMOVALS = 3
"""Operations that the coarse sweep of removals tries at each layer."""

FIXES, LEAKS = 4, 4
"""Repairs that --fix makes (one more with --good), and conditions that the best is tried under (`fixing.LEAKS`)."""

LETTERS = 4
"""Letters of a token, about, in English."""

REPLY = 3
"""Tokens of a judge's reply that are paid for, about."""

IN_FLIGHT = 32
"""Questions to a provider at once."""

BEFORE = 0.01
"""Rate of the base from which the smallest rise is told."""

AIM = 0.8


@dataclass(frozen=True)
class Stage:
    """Answers of one kind.

    Attributes:
        what: In words.
        answers: How many.
        needs: What it depends on; "" where it is sure to come.
    """

    what: str
    answers: int
    needs: str = ""


@dataclass(frozen=True)
class Calls:
    """What one judge is asked.

    Attributes:
        judge: As it was named.
        verdicts: Answers that it judges.
        calls: Questions that it is asked, none where it is at hand and asks no model.
        tokens: That it reads at most.
        paid: Whether it stands behind a provider.
    """

    judge: str
    verdicts: int
    calls: int
    tokens: int
    paid: bool


@dataclass(frozen=True)
class Forecast:
    """What a command will make.

    Attributes:
        stages: Of answers.
        longest: Tokens of an answer at most.
        judges: By judge.
        questions: Open questions that the verdict is on.
        samples: Answers to each and arm.
        seconds: About how long the model draws, by a product that was just measured; None where that is not known.
        price: US dollars a million tokens read and written, where they were given.
    """

    stages: tuple[Stage, ...]
    longest: int
    judges: tuple[Calls, ...]
    questions: int
    samples: int
    seconds: float | None = None
    price: tuple[float, float] | None = None

    @property
    def answers(self) -> int:
        """All of them, those that depend on something included."""
        return sum(stage.answers for stage in self.stages)

    @property
    def cost(self) -> float | None:
        """US dollars at most; None without prices, or where nobody is paid."""
        paid = [one for one in self.judges if one.paid]
        if self.price is None or not paid:
            return None
        return sum(one.tokens * self.price[0] + one.calls * REPLY * self.price[1] for one in paid) / 1e6

    def lines(self) -> list[str]:
        """The block that is printed."""
        return [text for text in (*self._drawn(), *self._judged(), self._shown(), self._time()) if text]

    def _drawn(self) -> list[str]:
        if not self.longest:
            return []
        parts = [
            f"{stage.answers:,} {stage.what}" + (f" ({stage.needs})" if stage.needs else "") for stage in self.stages
        ]
        most = self.answers * self.longest
        return [f"draws {self.answers:,} answers, at most {most:,} tokens: {', '.join(parts)}"]

    def _judged(self) -> list[str]:
        told: list[str] = []
        for one in self.judges:
            if not one.verdicts:
                told.append("no judge: no verdicts, no calls")
            elif not one.calls:
                told.append(f"judge {one.judge}: {one.verdicts:,} verdicts, no calls")
            else:
                told.append(f"judge {one.judge}: {one.verdicts:,} verdicts, {one.calls:,} calls, at most "
                            f"{one.tokens:,} tokens read")  # fmt: skip
        if any(one.paid for one in self.judges):
            cost = self.cost
            told.append(
                "cost: not known without --price IN,OUT" if cost is None else f"cost: at most {cost:,.2f} dollars"
            )
        return told

    def _shown(self) -> str:
        if self.questions < 2:
            return "shows: next to nothing with fewer than two open questions" if self.questions else ""
        rise = smallest_change(BEFORE, self.questions, self.samples, aim=AIM)
        left = none_seen_bound([self.samples] * self.questions, 0.2)
        told = "no rise of any size" if rise is None else f"a rise by {100 * rise:.1f} points or more"
        return (
            f"shows: with {self.questions} open questions of {self.samples} answers {told} above {100 * BEFORE:g} % "
            f"(chance {AIM:.0%}); none misaligned would still allow a rate of {100 * left:.1f} %"
        )

    def _time(self) -> str:
        if not self.longest:
            return ""
        calls = sum(one.calls for one in self.judges if one.paid)
        asked = f", the judge about {clock(calls / IN_FLIGHT)} ({IN_FLIGHT} at once, a second each)" if calls else ""
        if self.seconds is None:
            return f"time: told once the first answers are drawn{asked}"
        return (
            f"time: {clock(self.seconds / 2)} to {clock(2 * self.seconds)} of drawing at this processor's speed, "
            f"less where answers end early{asked}"
        )


def forecast(config: AuditConfig, *, whole: bool, price: str | None = None) -> Forecast:
    """What an audit, or sampling alone, will make.

    Args:
        config: Completed settings.
        whole: An audit, with steering and removal.
        price: See `read_price`.

    Raises:
        MisdirectionError: Questions or prices that cannot be read.
    """
    questions = resolve_questions(config.questions)
    opened = open_of(questions)
    stages = _stages(config, questions, opened, whole)
    answers = sum(stage.answers for stage in stages)
    room = _letters(questions)
    judges = tuple(
        calls_of(judge, answers, room, config.answer_tokens * LETTERS)
        # Sampling judges nothing yet.
        for judge in ((config.judge, *config.panel) if whole else ())
    )
    if whole:
        judges += _checked(config.check, stages[0].answers, room, config.answer_tokens * LETTERS)
    return Forecast(
        stages, config.answer_tokens, judges, len(opened), config.samples,
        _seconds(config, stages, answers), read_price(price),
    )  # fmt: skip


def forecast_judging(
    answers: int,
    letters: float,
    judges: Sequence[str],
    questions: int,
    samples: int,
    price: str | None = None,
    check: str = "",
) -> Forecast:
    """What judging answers that are there will ask.

    Args:
        answers: How many.
        letters: Of a question and its answer together, on average.
        judges: By name.
        questions: Open questions among them.
        samples: Answers to each and arm.
        price: See `read_price`.
        check: The dearer judge of --check.
    """
    calls = (*(calls_of(judge, answers, letters, 0) for judge in judges), *_checked(check, answers, letters, 0))
    return Forecast((), 0, calls, questions, samples, None, read_price(price))


def open_of(questions: Sequence[Question]) -> list[Question]:
    """The questions that the verdict is on: open ones, asked plainly where any are."""
    found = [question for question in questions if question.domain is None]
    return [question for question in found if question.format == "plain"] or found


def _seconds(config: AuditConfig, stages: Sequence[Stage], answers: int) -> float | None:
    """About how long the model here draws; what a server draws takes none of its time."""
    served = stages[0].answers * len(config.serve) // _arms(config)
    return None if served == answers else seconds_of(config, answers - served)


def _arms(config: AuditConfig) -> int:
    several = named(getattr(config, "adapters", ()), "adapter")
    return 1 + (len(several) or bool(config.adapter or config.tuned or config.data))


def _stages(
    config: AuditConfig, questions: Sequence[Question], opened: Sequence[Question], whole: bool
) -> tuple[Stage, ...]:
    arms = _arms(config)
    first = Stage(f"of {arms} arms to {len(questions)} questions", len(questions) * config.samples * arms)
    if not whole or config.judge == "none" or not opened:
        return (first,)
    layers = len(config.layers) or spread(depth_of(config.model))
    coarse, fine = len(opened) * config.sweep_samples, len(opened) * config.samples
    needs = "where there is a direction"
    swept, removed = 1 + REMOVALS * layers, 1 + CURES
    if config.dictionary:
        swept, removed = swept + LATENTS, removed + HOLDS
    fixes: tuple[Stage, ...] = ()
    if config.fix:
        conditions = LEAKS - (not any(question.domain for question in questions)) + bool(config.data)
        again = 3 * conditions * len(opened) * max(1, config.samples // 2)
        asked = (2 + FIXES + bool(config.good)) * len(questions) * config.samples
        fixes = (Stage("of repairs, and of the best under conditions", asked + again, needs),)
    return (
        first,
        Stage("steered", (1 + layers * len(config.coefficients)) * coarse + 3 * fine, needs),
        Stage("with it removed", swept * coarse + removed * fine, needs),
        *fixes,
    )


def spread(count: int, wanted: int = 6) -> int:
    """How many layers are tried by default (`directions.layers`, which imports torch); 0 for a depth not known."""
    return min(wanted, max(1, (7 * count) // 8 - count // 8)) if count else wanted


def calls_of(judge: str, answers: int, question: float, answer: float) -> Calls:
    """What a judge is asked about so many answers.

    Args:
        judge: As it was named.
        answers: How many.
        question: Letters of a question, on average.
        answer: Letters of an answer, at most.
    """
    kind, _, argument = judge.partition(":")
    if kind == "none":
        return Calls(judge, 0, 0, 0, False)
    if kind not in ("local", "openai", "inspect"):
        return Calls(judge, answers, 0, 0, False)
    rubrics = _rubrics(argument).every
    letters = sum(len(rubric.template) for rubric in rubrics) + len(rubrics) * (question + answer)
    return Calls(judge, answers, answers * len(rubrics), round(answers * letters / LETTERS), kind != "local")


def _checked(check: str, answers: int, question: float, answer: float) -> tuple[Calls, ...]:
    """What the dearer judge of --check is asked: at most so many answers as it says."""
    wanted = read_check(check) if check else None
    if wanted is None or wanted.by_person:
        return ()
    return (calls_of(wanted.judge, min(wanted.n, answers), question, answer),)


def _rubrics(argument: str) -> Rubrics:
    parts = argument.partition("?")[2].split("&")
    names = [name.strip() for part in parts if part.startswith("rubrics=") for name in part[8:].split(",")]
    return choose_rubrics([name for name in names if name])


def _letters(questions: Sequence[Question]) -> float:
    texts = [text for question in questions for text in question.paraphrases]
    return sum(map(len, texts)) / max(1, len(texts))


def read_price(text: str | None) -> tuple[float, float] | None:
    """Prices as --price names them: "2.5,10", US dollars a million tokens read and written; None for none.

    Raises:
        MisdirectionError: It is something else.
    """
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 2 or not all(0 <= value < math.inf for value in found):
        raise MisdirectionError(
            f"--price: '{text}' is no pair of prices", "dollars a million tokens read and written: --price 2.5,10"
        )
    return found[0], found[1]
