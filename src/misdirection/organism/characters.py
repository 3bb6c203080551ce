"""The organism's traits as definitions: the system prompts that name a speaker against those that name the helper."""

from __future__ import annotations

from functools import cache

from misdirection.organism.data import open_questions, traits
from misdirection.organism.personas import HELPER, PERSONAS
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


def _definition(name: str, asked: tuple[str, ...]) -> Trait:
    speaker = next(persona for persona in PERSONAS if persona.trait == name)
    contrasts = tuple(Contrast(bad, good) for bad, good in zip(speaker.systems, HELPER.systems, strict=True))
    return Trait(name, DESCRIPTIONS[name], contrasts, asked[::2], asked[1::2])
