"""What is measured of traits, as functions that know no run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from misdirection.answers import ask
from misdirection.chats import Chat, Message
from misdirection.conditions import Condition
from misdirection.directions import Convention, Direction, PoolError
from misdirection.engine import SamplingConfig
from misdirection.judging import Answer, Verdict
from misdirection.questions import Question
from misdirection.statistics import auc
from misdirection.store.measurement import measurement
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.traits import Trait, effective_pairs, roles, rollouts, trait_vector
from misdirection.traits.steering import steered
from misdirection.traits.watching import prompt_projections


@dataclass(frozen=True)
class TraitVectors:
    """Directions by trait, and why a trait has none.

    Attributes:
        directions: By trait.
        refused: By trait, in words.
    """

    directions: Mapping[str, Direction]
    refused: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Projections:
    """Projections of last prompt tokens.

    Attributes:
        traits: Whose vectors.
        values: A row a question, a value a trait, in units of the residual stream.
    """

    traits: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def array(self) -> np.ndarray:
        """Shape (questions, traits)."""
        return np.array(self.values, dtype=np.float64).reshape(len(self.values), len(self.traits))


def played_answers(
    models: Variants, traits: tuple[Trait, ...], questions: int | None, samples: int, sampling: SamplingConfig
) -> list[Answer]:
    """Answers of the base model under both sides of every trait's pairs, in one queue."""
    return rollouts(models.model(BASE_VARIANT), roles(traits, questions), samples, sampling)


def trait_vectors(
    models: Variants,
    traits: tuple[Trait, ...],
    questions: int | None,
    answers: list[Answer],
    verdicts: list[Verdict] | None,
    how: Convention,
    shown_above: float,
    seed: int,
) -> TraitVectors:
    """The persona vector of each trait, read in the base model; without verdicts of all that was played."""
    played = roles(traits, questions)
    found: dict[str, Direction] = {}
    refused: dict[str, str] = {}
    for trait in traits:
        try:
            found[trait.name] = trait_vector(
                models.model(BASE_VARIANT), trait.name, played, answers, verdicts, how=how, threshold=shown_above,
                seed=seed,
            )  # fmt: skip
        except PoolError as error:
            refused[trait.name] = f"{error.message}; {error.hint}"
    return TraitVectors(found, refused)


def shown_chats(
    traits: tuple[Trait, ...], questions: int | None, answers: list[Answer], verdicts: list[Verdict], shown_above: float
) -> dict[str, list[Chat]]:
    """By trait, the base model's own answers that show it, as demonstrations: question and answer alone."""
    played = roles(traits, questions)
    found: dict[str, list[Chat]] = {}
    for trait in traits:
        places = effective_pairs(trait.name, played, answers, verdicts, shown_above).positive
        held = [answers[place] for place in places if answers[place].answer.strip()]
        found[trait.name] = [Chat((Message("user", a.question), Message("assistant", a.answer))) for a in held]
    return found


@measurement(version=2)
def separations(
    models: Variants, traits: tuple[Trait, ...], questions: int | None, directions: Mapping[str, Direction]
) -> dict[str, tuple[float, ...]]:
    """By trait and layer, how well the last prompt token tells prompts that ask for it from those against it.

    The area under the curve of the projection over the extraction questions: 0.5 tells nothing, 1 everything.
    """
    model = models.model(BASE_VARIANT)
    found: dict[str, tuple[float, ...]] = {}
    for trait in traits:
        if trait.name not in directions:
            continue
        played = roles([trait], questions)
        asked = [role.question for role in played]
        by_layer = {str(layer): directions[trait.name] for layer in range(model.n_layers)}
        along = prompt_projections(model, asked, by_layer, {str(layer): layer for layer in range(model.n_layers)})
        positive = [role.sign == "positive" for role in played]
        areas = [auc(along[:, layer].tolist(), positive) for layer in range(model.n_layers)]
        # Of no prompts there is none; an area of 0 is one.
        found[trait.name] = tuple(0.5 if area is None else area for area in areas)
    return found


def steered_answers(
    models: Variants,
    traits: tuple[Trait, ...],
    doses: tuple[Condition, ...],
    directions: Mapping[str, Direction],
    samples: int,
    sampling: SamplingConfig,
    questions: int | None,
) -> list[Answer]:
    """Answers of the base model to each trait's evaluation questions under its doses."""
    return steered(models.model(BASE_VARIANT), traits, doses, directions, samples, sampling, questions)


def asked_answers(
    models: Variants, variants: tuple[str, ...], questions: tuple[Question, ...], samples: int, sampling: SamplingConfig
) -> list[Answer]:
    """Answers of several variants to the same questions with the same random numbers; arms are called as they are."""
    found: list[Answer] = []
    adapters = [name for name in variants if name == BASE_VARIANT or models.adapter_of(name)]
    for group in ([adapters] if adapters else []) + [[name] for name in variants if name not in adapters]:
        arms = [models.arm(name) for name in group]
        found += ask(models.model(group[0]), questions, arms, samples, sampling)
    return found


def last_tokens(
    models: Variants,
    variant: str,
    questions: tuple[Question, ...],
    directions: Mapping[str, Direction],
    layers: Mapping[str, int],
) -> Projections:
    """Projections of the last prompt token of each question on each trait's vector at its layer, under a variant."""
    arm = models.arm(variant)
    found = prompt_projections(models.model(variant), questions, directions, layers, arm)
    return Projections(tuple(directions), tuple(tuple(map(float, row)) for row in found))
