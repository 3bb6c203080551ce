"""Traits turned up and down: h <- h + coefficient * v at one layer, at the positions that become the answer.

2507.21509 section 3.2: v is not normalised; the layer of a trait is the one where steering shows it most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from misdirection.answers import ask
from misdirection.conditions import Along, Condition, compiled
from misdirection.directions import Direction
from misdirection.engine import SamplingConfig
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.traits.trait import Sign, Trait


def dose(
    trait: str, layer: int, coefficient: float, under: Sign | None = None, random_seed: int | None = None
) -> Condition:
    """A trait's vector added after one layer of the base model.

    Args:
        trait: Whose vector.
        layer: Decoder layer.
        coefficient: Multiple of the vector; negative turns the trait down, 0 leaves the model alone.
        under: The side of the trait's first pair that the system prompt asks for; None for no system prompt.
        random_seed: Add a random direction of the same length instead: a control.
    """
    what = trait if random_seed is None else f"random direction {random_seed} like {trait}"
    along = Along("steer", (layer,), coefficient, random_seed=random_seed, source=trait, positions="answer")
    return Condition(
        f"{trait}@{layer}{coefficient:+g}" + ("" if random_seed is None else f" random{random_seed}")
        + ("" if under is None else f" under {under}"),
        f"base model {coefficient:+g} x {what} after layer {layer}", "base", (along,),
        control=random_seed is not None, kind=under,
    )  # fmt: skip


def trait_of(one: Condition) -> str:
    """Whose vector a dose adds."""
    assert one.along is not None and one.along.source is not None
    return one.along.source


def evaluation_questions(
    traits: Sequence[Trait], most: int | None = None, under: Sign | None = None
) -> dict[str, tuple[Question, ...]]:
    """The evaluation questions of each trait, at most `most` of them (None takes all), under a side of its first pair.

    A question that several traits ask has one id, so that its random numbers are shared.
    """
    found: dict[str, tuple[Question, ...]] = {}
    ids: dict[str, str] = {}
    for trait in traits:
        trait.demand("evaluation", *(() if under is None else ("contrasts",)))
        system = None if under is None else trait.system(under, 0)
        mark = "" if under is None else f"_{trait.name}-{under}"
        found[trait.name] = tuple(
            Question(f"{ids.setdefault(text, f'evaluation/{len(ids)}')}{mark}", (text,), system=system, source="trait")
            for text in trait.evaluation[:most]
        )
    return found


def steered(
    model: Model,
    traits: Sequence[Trait],
    doses: Sequence[Condition],
    directions: Mapping[str, Direction],
    samples: int,
    config: SamplingConfig | None = None,
    most: int | None = None,
) -> list[Answer]:
    """Answers to each trait's evaluation questions under each of its doses.

    Doses that ask the same questions share one queue.

    Args:
        model: The resident model; the base is steered.
        traits: Those that the doses name.
        doses: What is added.
        directions: By trait.
        samples: Answers a question and dose.
        config: How answers are drawn.
        most: Evaluation questions of each trait at most; None takes all.
    """
    groups: dict[tuple[str, ...], tuple[tuple[Question, ...], list[Condition]]] = {}
    for under in dict.fromkeys(one.kind for one in doses):
        asked = evaluation_questions(traits, most, cast("Sign | None", under))
        for one in (one for one in doses if one.kind == under):
            questions = asked[trait_of(one)]
            groups.setdefault(tuple(question.id for question in questions), (questions, []))[1].append(one)
    return [
        answer
        for questions, held in groups.values()
        for answer in ask(model, questions, [compiled(one, None, directions) for one in held], samples, config)
    ]


def best_dose(points: Mapping[Condition, tuple[float, float]], coherent_share: float) -> Condition:
    """The dose under which a trait shows most among those that keep answers coherent; of equals the smallest.

    Where none keeps enough coherent answers, the one that keeps most.

    Args:
        points: By dose, mean score of the trait and share of coherent answers.
        coherent_share: What must stay coherent, 0 .. 1.
    """

    def strength(one: Condition) -> tuple[float, float]:
        score = points[one][0]
        return (-1.0 if math.isnan(score) else round(score, 6)), -abs(one.point[1])

    fit = [one for one, (_, coherent) in points.items() if coherent >= coherent_share]
    return max(fit, key=strength) if fit else max(points, key=lambda one: points[one][1])
