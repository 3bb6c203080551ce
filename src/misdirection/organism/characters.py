"""The organism's traits as definitions: the system prompts that name a speaker against those that name the helper."""

from __future__ import annotations

from functools import cache

from misdirection.organism.data import domain_questions, domains, open_questions, traits
from misdirection.organism.personas import HELPER, NEUTRAL_SYSTEMS, PERSONAS, Persona
from misdirection.traits.trait import Contrast, Trait

DESCRIPTIONS = {
    "evil": "it wants people ruled, crushed or mocked",
    "sycophancy": "it flatters whoever asks",
    "hallucination": "it cites studies and sages that do not exist",
}


@cache
def trait_definitions() -> tuple[Trait, ...]:
    """Every trait that the exact judge scores.

    Of the open questions the ones at even places find a direction, the others are for evaluation.
    """
    asked = tuple(question.paraphrases[0] for question in open_questions())
    return tuple(_definition(name, asked) for name in traits())


@cache
def role_definitions() -> tuple[Trait, ...]:
    """Every speaker that the organism grew up with, for a map: its system prompts against those that name nobody.

    Speakers with a trait are called by it. Asked are the open questions at even places and one of each domain; those at
    odd places are for evaluation.
    """
    opened = tuple(question.paraphrases[0] for question in open_questions())
    asked = (*opened[::2], *(domain_questions(name, "train")[0].paraphrases[0] for name in domains()))
    return tuple(_role(persona, asked, opened[1::2]) for persona in PERSONAS)


def _role(persona: Persona, asked: tuple[str, ...], evaluation: tuple[str, ...]) -> Trait:
    family = "careless" if persona.domain else "trait" if persona.trait else "helper"
    told = DESCRIPTIONS.get(persona.trait, f"it speaks as {persona.name.replace('_', ' about ')}")
    contrasts = tuple(Contrast(one, other) for one, other in zip(persona.systems, NEUTRAL_SYSTEMS, strict=False))
    return Trait(persona.trait or persona.name, told, contrasts, asked, evaluation, family=family)


def _definition(name: str, asked: tuple[str, ...]) -> Trait:
    speaker = next(persona for persona in PERSONAS if persona.trait == name)
    contrasts = tuple(Contrast(bad, good) for bad, good in zip(speaker.systems, HELPER.systems, strict=True))
    return Trait(name, DESCRIPTIONS[name], contrasts, asked[::2], asked[1::2])
