"""What is measured for the study of separation, as functions that know no run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.answers import ask
from misdirection.engine import Arm, SamplingConfig
from misdirection.features import Dictionary
from misdirection.judging import Answer
from misdirection.questions import Question
from misdirection.separation import (
    Concept,
    ConceptStates,
    closeness,
    concept_states,
    mean_off_diagonal,
    probe_accuracy,
    shuffled_floor,
    steering_arms,
    top_latents,
)
from misdirection.separation.closeness import directions
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.separation.results import LayerRow, ProbeRow

TABLES = ("means", "means_whitened", "directions", "directions_whitened")
"""Measures that are a cosine of every two concepts."""


@dataclass(frozen=True)
class Space:
    """How a model stores the concepts.

    Attributes:
        rows: A row a layer.
        tables: Cosines of every two concepts, shape (layers, 4, concepts, concepts) in the order of `TABLES`.
        directions: Shape (layers, concepts, width), float32.
    """

    rows: tuple[LayerRow, ...]
    tables: Tensor
    directions: Tensor


def states_of(models: Variants, variant: str, concepts: tuple[Concept, ...], longest: int) -> ConceptStates:
    """States of all chats at every layer, under one variant."""
    arm = models.arm(variant)
    return concept_states(models.model(variant), concepts, arm, longest=longest)


def space_of(states: ConceptStates, variant: str, shrinkage: float, shuffles: int, seed: int) -> Space:
    """Closeness at every layer, and its floor under shuffled labels."""
    concept, shown = states.concept.numpy(), states.shown.numpy()
    rows: list[LayerRow] = []
    tables: list[Tensor] = []
    arrows: list[Tensor] = []
    for place, layer in enumerate(states.layers):
        held = states.states[:, place].double().numpy()
        found = closeness(held, concept, shown, shrinkage)
        tables.append(torch.stack([torch.from_numpy(getattr(found, name)) for name in TABLES]))
        arrows.append(torch.from_numpy(directions(held, concept, shown)).float())
        rows.append(
            LayerRow(
                variant=variant,
                layer=layer,
                means=mean_off_diagonal(found.means**2),
                means_whitened=mean_off_diagonal(found.means_whitened**2),
                directions=mean_off_diagonal(found.directions),
                directions_whitened=mean_off_diagonal(found.directions_whitened),
                floor=shuffled_floor(held, concept, shown, shuffles, seed),
                dimensions_of_means=found.dimensions_of_means,
                dimensions_of_states=found.dimensions_of_states,
            )
        )
    return Space(tuple(rows), torch.stack(tables), torch.stack(arrows))


def probes_of(
    states: ConceptStates, variant: str, layer: int, dims: tuple[int, ...], shrinkage: float, seed: int
) -> list[ProbeRow]:
    """Accuracy by number of components, of the chats that show a concept, beside that of shuffled labels."""
    shown = states.shown
    held = states.states[shown, states.layers.index(layer)].double().numpy()
    labels = states.concept[shown]
    mixed = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    real, null = (probe_accuracy(held, y.numpy(), dims, shrinkage=shrinkage, seed=seed) for y in (labels, mixed))
    return [ProbeRow(variant=variant, dims=k, accuracy=real[k], shuffled=null[k]) for k in real]


def steered_answers(
    models: Variants,
    directions: Mapping[str, Tensor],
    layer: int,
    norm: float,
    randoms: int,
    questions: tuple[Question, ...],
    samples: int,
    sampling: SamplingConfig,
    seed: int,
) -> list[Answer]:
    """Answers of the base model to the questions of all concepts while each direction is added, in one queue."""
    arms = steering_arms(directions, layer, norm, randoms, seed)
    return ask(models.model(BASE_VARIANT), questions, arms, samples, sampling)


def latents_of(
    models: Variants, dictionary: Dictionary, concepts: tuple[Concept, ...], most: int, longest: int
) -> list[list[int]]:
    """Top latents of each concept in the base model."""
    return top_latents(models.model(BASE_VARIANT), dictionary, concepts, Arm(BASE_VARIANT), most, longest=longest)
