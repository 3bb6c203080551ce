"""What is measured for a map of traits, as functions that know no run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.answers import ask, prompt_ids, read_back
from misdirection.directions import Convention
from misdirection.engine import Arm, SamplingConfig, Set, Text, capture_means, capture_projections
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.questions import Question
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.traits import Trait
from misdirection.traits.steering import evaluation_questions

NEUTRAL, DEFAULT = "neutral", "itself"
"""What is no trait: answers under prompts that name none, and without a system prompt."""


@dataclass(frozen=True)
class RoleMeans:
    """Mean answers of every role at one layer.

    Attributes:
        names: Traits, then neutral and itself.
        means: Shape (roles, 3, width), float64: over all questions, the even ones, the odd ones.
        answers: How many were read.
        unread: How many could not be.
    """

    names: tuple[str, ...]
    means: Tensor
    answers: int
    unread: int


def role_questions(traits: tuple[Trait, ...], most: int | None) -> tuple[Question, ...]:
    """Every question under each of a trait's prompts, under each neutral prompt, and without any."""
    found: list[Question] = []
    neutral: dict[str, None] = {}
    asked: dict[str, None] = {}
    for trait in traits:
        trait.demand("contrasts", "questions")
        for pair in range(len(trait.contrasts)):
            neutral.setdefault(trait.system("negative", pair))
            for text in trait.questions[:most]:
                asked.setdefault(text)
                number = list(asked).index(text)
                found.append(Question(f"{trait.name}/{pair}/{number}", (text,), system=trait.system("positive", pair)))
    for number, text in enumerate(asked):
        found += [Question(f"{NEUTRAL}/{i}/{number}", (text,), system=one) for i, one in enumerate(neutral)]
        found.append(Question(f"{DEFAULT}/0/{number}", (text,)))
    return tuple(found)


def role_answers(
    models: Variants, questions: tuple[Question, ...], samples: int, sampling: SamplingConfig
) -> list[Answer]:
    """Answers of the base model in every role, in one queue."""
    return ask(models.model(BASE_VARIANT), questions, samples=samples, config=sampling)


def role_means(models: Variants, answers: list[Answer], layer: int, how: Convention) -> RoleMeans:
    """Mean residual stream of each role's answers after a layer, over all questions and over each half of them.

    Raises:
        MisdirectionError: A role has no answer that can be read in one of the halves.
    """
    model, arm = models.model(BASE_VARIANT), Arm("base")
    read = read_back(model, answers)
    kept = [answers[place] for place in read.places]
    names = tuple(dict.fromkeys(answer.question_id.partition("/")[0] for answer in answers))
    weights = torch.zeros(len(kept), 3 * len(names), dtype=torch.float64)
    for row, answer in enumerate(kept):
        role, _, number = answer.question_id.partition("/")
        place = 3 * names.index(role)
        weights[row, place] = 1.0
        weights[row, place + 1 + int(number.rpartition("/")[2]) % 2] = 1.0
    texts = [Text.of(one, how.span, arm) for one in read.encoded]
    means = capture_means(model, texts, weights, layers=(layer,), weighting=how.weighting).mean(how.span)[:, 0]
    means = means.reshape(len(names), 3, -1)
    if not bool(means.isfinite().all()):
        empty = next(name for name, held in zip(names, means, strict=True) if not bool(held.isfinite().all()))
        raise MisdirectionError(f"{empty}: no answer can be read in one half of the questions", "--samples 4, or more")
    return RoleMeans(names, means, len(kept), sum(read.aside.values()))


def last_token_places(
    models: Variants, variant: str, questions: tuple[Question, ...], units: Tensor, layer: int
) -> list[list[float]]:
    """Projection of the last prompt token of each question on each of some unit vectors, under a variant."""
    model, arm = models.model(variant), models.arm(variant)
    prompts = [prompt_ids(model, question) for question in questions]
    texts = [Text(ids, {}, arm, len(ids)) for ids in prompts]
    return [[float(value) for value in held[layer][-1]] for held in capture_projections(model, texts, {layer: units})]


def induced_answers(
    models: Variants,
    traits: tuple[Trait, ...],
    units: Mapping[str, Tensor],
    components: Mapping[str, float],
    alphas: tuple[float, ...],
    layer: int,
    samples: int,
    sampling: SamplingConfig,
    most: int | None,
) -> list[Answer]:
    """Answers of the base model as it is, and with the component along a trait set to alpha times that of its answers.

    a' = a - (a . r) r + alpha mean_i(a_i . r) r, r the trait's unit vector, a_i its own answers (arXiv 2412.10427).
    """
    found: list[Answer] = []
    asked = evaluation_questions(traits, most)
    for trait in traits:
        arms = [Arm(f"{trait.name}/as it is")]
        for alpha in alphas:
            done = Set(units[trait.name], (layer,), alpha * components[trait.name])
            arms.append(Arm(f"{trait.name}/{alpha:g}", None, (done,)))
        found += ask(models.model(BASE_VARIANT), asked[trait.name], arms, samples, sampling)
    return found
