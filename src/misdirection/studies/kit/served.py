"""Main answers of arms that an inference server runs, in the places of those that are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from misdirection.answers import unanswered
from misdirection.engine import SamplingConfig
from misdirection.judging import Answer
from misdirection.models.tokenizer import load_tokenizer
from misdirection.questions import Question
from misdirection.runs import Run
from misdirection.serving import Request, Server, Spoken, draw, greedily, reach
from misdirection.serving.drawing import seed_of
from misdirection.store import Cached, Workspace
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.drawing import DrawnAnswers, draw_answers
from misdirection.studies.kit.inputs import resolve_model
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import default_system

PROBES = 24
"""Questions, at most, that are asked at temperature 0 as well."""


@dataclass(frozen=True)
class Served:
    """Answers of arms of which some are served.

    Attributes:
        answers: In the order of the conditions; those of a server have no tokens, and are encoded where they are read.
        warnings: What a reader must know of them.
        asked: How each arm was asked.
        probed: Questions that base and arms were asked at temperature 0 too; 0 where the base is not served.
        alike: To how many of these a served arm's answer was the base's, word for word.
    """

    answers: list[Answer]
    warnings: tuple[str, ...]
    asked: Mapping[str, Mapping[str, Any]]
    probed: int
    alike: Mapping[str, int]


def draw_served(
    models: Variants,
    servers: Mapping[str, Server],
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
    workspace: Workspace,
) -> Served:
    """Ask every question under every condition, the arms of `servers` there and the others here.

    A server is given what our sampler is given: system prompt, turns before, wording, temperature, longest answer, and
    a seed of the draw that is the same for every arm. It applies its own chat template. Where base and other arms are
    served, a few questions are asked at temperature 0 too: a server that does not know an adapter serves the base.

    Args:
        models: The same models, for the arms that are drawn here and for the template's own system prompt.
        servers: By arm, as they were named.
        questions: What is asked.
        conditions: The arms, without interventions where they are served.
        samples: Answers a question and condition.
        config: How answers are drawn.
        workspace: Where answers are kept as they come.

    Raises:
        MisdirectionError: See `serving.reach` and `serving.draw`.
    """
    reached = reach(servers)
    tokenizer = load_tokenizer(resolve_model(models.base))
    own = default_system(tokenizer) if tokenizer.chat_template else None
    asked = [(question, index) for question in questions for index in range(samples)]
    thinking = models.loading.thinking
    requests = [_request(question, index, config, thinking) for question, index in asked]
    probes = greedily(requests)[:PROBES]
    journal = workspace / "answers.jsonl"
    said: dict[str, list[Spoken]] = {}
    greedy: dict[str, list[str]] = {}
    for arm, server in reached.items():
        said[arm] = draw(server, requests, journal)
        if BASE.name in reached:
            greedy[arm] = [one.answer for one in draw(server, probes, journal)]
    here = [condition for condition in conditions if condition.name not in reached]
    drawn = draw_answers(models, questions, here, samples, config) if here else DrawnAnswers([], (), {})
    answers: list[Answer] = []
    for condition in conditions:
        spoken = said.get(condition.name)
        if spoken is None:
            answers += [answer for answer in drawn.answers if answer.arm == condition.name]
        else:
            answers += [
                _answer(question, index, one, condition.name, config.seed, own)
                for (question, index), one in zip(asked, spoken, strict=True)
            ]
    base = greedy.pop(BASE.name, None)
    return Served(
        answers,
        (*_warnings(reached), *drawn.warnings),
        {**drawn.asked, **{arm: {"server": server.told} for arm, server in reached.items()}},
        len(probes) if base is not None else 0,
        {} if base is None else {arm: sum(map(str.__eq__, base, texts)) for arm, texts in greedy.items()},
    )


def served_step(
    run: Run,
    name: str,
    models: Variants,
    servers: Mapping[str, Server],
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
) -> Cached[list[Answer]]:
    """The answers of `draw_served` as a step of a run; see `drawing.sample_step`."""
    step = run.cached(
        draw_served, name, models=models, servers=dict(servers), questions=questions, conditions=conditions,
        samples=samples, config=config,
    )  # fmt: skip
    run.publish(f"{name}.parquet", step.path / "answers.parquet")
    return step.part("answers")


def _request(question: Question, index: int, config: SamplingConfig, thinking: bool | None) -> Request:
    number = index % len(question.paraphrases)
    seed = seed_of(config.seed, question.id, number, index)
    return Request(question.turns(number), config.temperature, config.max_new_tokens, seed, thinking)


def _answer(question: Question, index: int, said: Spoken, arm: str, seed: int, own: str | None) -> Answer:
    asked = unanswered(question, index % len(question.paraphrases), index, arm, seed, own)
    return replace(asked, answer=said.answer, thought=said.thought, n_tokens=said.n_tokens, finished=said.finished)


def _warnings(servers: Mapping[str, Server]) -> tuple[str, ...]:
    told = "; ".join(f"{arm} by {server.told}" for arm, server in servers.items())
    return (
        f"answers were drawn by servers ({told}), which apply their own chat template; they came as text without "
        "tokens, so they are encoded anew wherever they are read, and arms share no random numbers",
    )


def alike_at_zero(step: Cached[list[Answer]], arm: str) -> int:
    """Questions to which a served arm gave the base's answer at temperature 0, where it did to all; else 0."""
    probed: int = step.part("probed").value
    return probed if probed and step.part("alike").value.get(arm) == probed else 0
