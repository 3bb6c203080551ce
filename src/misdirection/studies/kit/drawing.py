"""Answers drawn under conditions: a measurement, and the verb that keeps it in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.answers import ask
from misdirection.conditions import Directions
from misdirection.engine import SamplingConfig
from misdirection.judging import Answer
from misdirection.models import asked_of
from misdirection.questions import Question
from misdirection.runs import Run
from misdirection.store import Cached
from misdirection.studies.kit.conditions import Condition, arm_of
from misdirection.studies.kit.own_direction import vector_of
from misdirection.studies.kit.variants import Variants

Steps = Cached[Any] | Mapping[str, Cached[Any]] | None
"""What holds the directions that conditions name: one, or several by the name in `Along.source`."""


@dataclass(frozen=True)
class DrawnAnswers:
    """Answers, and what the models want said of them.

    Attributes:
        answers: In the order of the conditions.
        warnings: Sentences of the models that gave them.
        asked: How each model was asked, by variant (`models.asked_of`).
    """

    answers: list[Answer]
    warnings: tuple[str, ...]
    asked: Mapping[str, Mapping[str, Any]]


def draw_answers(
    models: Variants,
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
    directions: Directions = None,
) -> DrawnAnswers:
    """Sample every question under every condition.

    Args:
        models: The variants that the conditions name.
        questions: What is asked.
        conditions: The arms; those of one resident model share one queue and its batches.
        samples: Answers a question and condition.
        config: How answers are drawn.
        directions: Those that the conditions use.
    """
    answers: list[Answer] = []
    warnings: list[str] = []
    asked: dict[str, Any] = {}
    for group in _by_model(models, conditions):
        found: list[Answer] = []
        for some, few in _in_portions(models, group):
            model = few.model(some[0].variant)
            found += ask(model, questions, [arm_of(c, few, directions) for c in some], samples, config)
            warnings += model.facts["warnings"]
            asked[group[0].variant] = asked_of(model)
        places = {condition.name: place for place, condition in enumerate(group)}
        answers += sorted(found, key=lambda answer: places[answer.arm])
    return DrawnAnswers(answers, tuple(dict.fromkeys(warnings)), asked)


def sample_step(
    run: Run,
    name: str,
    models: Variants,
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
    directions: Steps = None,
    shelf: str = "",
) -> Cached[list[Answer]]:
    """The answers of `draw_answers` as a step of a run; they lie in the run's folder as `SHELF/NAME.parquet`.

    What the models want said of them is another part of the same value: `answers.part("warnings")`.

    Args:
        run: Where the step is kept.
        name: Of the step.
        models: The variants that the conditions name.
        questions: What is asked.
        conditions: The arms.
        samples: Answers a question and condition.
        config: How answers are drawn.
        directions: What holds those that the conditions use.
        shelf: Folder of the run that they are shown in; the run's own by default.
    """
    arguments = draw_arguments(models, questions, conditions, samples, config, directions)
    step = run.cached(draw_answers, name, **arguments)
    run.publish(f"{shelf}/{name}.parquet".lstrip("/"), step.path / "answers.parquet")
    return step.part("answers")


def draw_arguments(
    models: Variants,
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
    directions: Steps = None,
) -> dict[str, Any]:
    """Arguments of `draw_answers` as a step has them; see `sample_step`."""
    held = directions and (
        {name: vector_of(one) for name, one in directions.items()}
        if isinstance(directions, Mapping)
        else vector_of(directions)
    )
    return {"models": models, "questions": questions, "conditions": conditions, "samples": samples, "config": config,
            "directions": held}  # fmt: skip


def _in_portions(models: Variants, group: Sequence[Condition]) -> Iterator[tuple[list[Condition], Variants]]:
    """Conditions of one resident model: all at once where their adapters fit beside it, the base's with the first."""
    if group[0].variant in models.whole:
        yield list(group), models
        return
    for place, few in enumerate(models.portions([condition.variant for condition in group])):
        some = [c for c in group if c.variant in few.adapters or (c.variant not in models.adapters and not place)]
        if some:
            yield some, few


def _by_model(models: Variants, conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Conditions that one resident model serves, together; a whole fine-tune is loaded once, for all of its own."""
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        shared = condition.variant == "base" or models.adapter_of(condition.variant)
        groups.setdefault("base" if shared else condition.variant, []).append(condition)
    return list(groups.values())
