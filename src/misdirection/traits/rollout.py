"""Answers under the system prompts of traits, all traits, signs and questions in one queue (2507.21509 section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.answers import ask
from misdirection.engine import SamplingConfig
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.traits.trait import SIGNS, Sign, Trait


@dataclass(frozen=True)
class Role:
    """One question under one system prompt of a trait.

    Attributes:
        trait: The trait's name.
        sign: Which side of the pair.
        pair: Which pair.
        text: The question.
        question: As it is asked.
    """

    trait: str
    sign: Sign
    pair: int
    text: str
    question: Question


def roles(traits: Sequence[Trait], most: int | None = None) -> tuple[Role, ...]:
    """Every extraction question of every trait under both sides of each of its pairs.

    Args:
        traits: With contrasts and questions.
        most: Questions of each trait at most, the first ones; None takes all.

    Raises:
        TraitError: A trait lacks one of them.
    """
    for trait in traits:
        trait.demand("contrasts", "questions")
    return tuple(
        Role(trait.name, sign, pair, text, _question(trait, sign, pair, number, text))
        for trait in traits
        for number, text in enumerate(trait.questions[:most])
        for pair in range(len(trait.contrasts))
        for sign in SIGNS
    )


def _question(trait: Trait, sign: Sign, pair: int, number: int, text: str) -> Question:
    return Question(f"{trait.name}/{sign}-{pair}/{number}", (text,), system=trait.system(sign, pair), source="trait")


def rollouts(model: Model, played: Sequence[Role], samples: int, config: SamplingConfig | None = None) -> list[Answer]:
    """Sample every role: one queue for all of them, answers in the order of roles, `samples` of each.

    The base model answers, whatever adapters are beside it. The paper takes ten samples at temperature 1.
    """
    return ask(model, [role.question for role in played], samples=samples, config=config)
