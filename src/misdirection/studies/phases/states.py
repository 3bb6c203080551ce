"""How the activations of checkpoints drift over the steps of a fine-tune, and drift vectors that others published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from misdirection.directions import Convention, Direction, Source
from misdirection.directions.phases import cosine_to_last
from misdirection.engine import Text, capture_means
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.statistics import Settings
from misdirection.statistics.intervals import expanded_percentiles, question_weights
from misdirection.statistics.turning import Turn, broken_line, crossing
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import numbers
from misdirection.studies.kit.variants import Variants
from misdirection.studies.phases.results import AlongDirection, Measure, PublishedPath, States, Turning
from misdirection.training.course import Course
from misdirection.training.trajectory import read_trajectory

RESAMPLES = 400
"""Of the bootstrap over questions."""

LEVEL = 0.5
"""Cosine with the last drift at which the drift counts as turned towards it."""


@dataclass(frozen=True)
class Activations:
    """What the checkpoints make of the base's own answers.

    Attributes:
        means: Mean residual stream by variant and question, shape (variants, questions, width), float32.
        left_out: Answers that could not be read back; None where all could.
    """

    means: Tensor
    left_out: LeftOut | None


def activations(
    models: Variants,
    answers: list[Answer],
    questions: Sequence[str],
    samples: int,
    variants: Sequence[str],
    layer: int,
    how: Convention,
) -> Activations:
    """Mean activations of every variant on the base's own answers, by question, at one layer.

    Args:
        models: The variants.
        answers: Those of the arm "base" count ...
        questions: ... to questions of these ids ...
        samples: ... so many of each.
        variants: Whose activations.
        layer: After which the residual stream is read.
        how: Tokens and weighting.
    """
    chosen = [a for a in answers if a.arm == "base" and a.question_id in questions and a.sample < samples]
    _, sources, aside = readable(models.model("base"), chosen)
    means = [_means(models, variant, sources, layer, how) for variant in variants]
    return Activations(torch.stack(means).float(), aside)


def _means(models: Variants, variant: str, sources: Sequence[Source], layer: int, how: Convention) -> Tensor:
    """Mean residual stream after `layer` by question, shape (questions, width)."""
    questions = list(dict.fromkeys(source.question_id for source in sources))
    weights = torch.zeros(len(sources), len(questions))
    for row, source in enumerate(sources):
        weights[row, questions.index(source.question_id)] = 1.0
    arm = models.arm(variant)
    model = models.model(variant)
    texts = [Text.of(s.encoded, how.span, arm) for s in sources]
    return capture_means(model, texts, weights, layers=[layer], weighting=how.weighting).mean(how.span)[:, 0]


def drift_of(
    states: Tensor,
    steps: Sequence[int],
    direction: Direction | None,
    layer: int,
    seed: int,
    b: Sequence[AlongDirection] = (),
) -> States:
    """Drift over the steps: its norm, its cosine with the last drift, and with the misalignment direction.

    Args:
        states: Of `activations`, the base first.
        steps: 0 and the checkpoints' steps.
        direction: The misalignment direction of the last checkpoint, if there is one.
        layer: At which the activations were read.
        seed: Of the bootstrap over questions.
        b: Of `b_on_direction`.
    """
    means = states.double()
    moved = means - means[:1]
    drift = moved.mean(1)
    turns = [_turning("drift's cosine with its last", crossing_over_questions(steps, moved, seed))]
    component, cosine = None, None
    if direction is not None:
        unit = torch.nn.functional.normalize(direction.vectors[layer].double(), dim=0)
        component = numbers(drift @ unit)
        cosine = numbers(drift @ unit / drift.norm(dim=1).clamp_min(1e-12))
        if len(steps) >= 7:
            turns.append(_turning("component along the misalignment direction", broken_line(steps, component)))
    return States(
        layer=layer,
        steps=tuple(steps),
        norm=numbers(drift.norm(dim=1)),
        to_last=numbers(cosine_to_last(drift)),
        questions=means.shape[1],
        chance=1.96 / means.shape[2] ** 0.5,
        component=component,
        on_direction=cosine,
        b=tuple(b),
        turns=tuple(turns),
    )


def crossing_over_questions(steps: Sequence[int], moved: Tensor, seed: int) -> Turn:
    """The step at which the drift's cosine with the last drift reaches 0.5, with its bootstrap over questions.

    Args:
        steps: Times.
        moved: Drift by time and question, shape (times, questions, width).
        seed: Of the bootstrap.
    """
    import numpy as np

    whole = crossing(steps, cosine_to_last(moved.mean(1)).tolist(), LEVEL)
    count = moved.shape[1]
    if whole.step is None or count < 2:
        return whole
    groups = ["plain"] * count
    weights = torch.tensor(question_weights(groups, Settings(seed=seed, resamples=RESAMPLES))) / count
    paths = torch.einsum("rq,tqd->rtd", weights, moved)
    reached = [crossing(steps, cosine_to_last(path).tolist(), LEVEL).step for path in paths]
    low, high = expanded_percentiles(np.array([np.nan if f is None else f for f in reached], float), groups, 0.95)
    method = f"reaches {LEVEL:g}, bootstrap over {count} questions ({RESAMPLES} resamples)"
    return Turn(whole.step, min(low, whole.step), max(high, whole.step), method, whole.note)


def b_on_direction(course: Course, direction: Direction) -> list[AlongDirection]:
    """Cosine of each module's B with the misalignment direction at its own layer, over the steps; rank-1 modules."""
    vectors = direction.vectors
    trajectory = read_trajectory(course.folders)
    rows: list[AlongDirection] = []
    for track in trajectory.tracks:
        if track.b.shape[1:] == (vectors.shape[1], 1) and track.layer is not None:
            columns = torch.nn.functional.normalize(track.b[:, :, 0], dim=1)
            unit = torch.nn.functional.normalize(vectors[track.layer], dim=0)
            cosine = numbers(columns @ unit)
            rows.append(AlongDirection(layer=track.layer, steps=tuple(trajectory.steps), cosine=cosine))
    return rows


def read_path(file: str | Path) -> tuple[tuple[int, ...], Tensor]:
    """Vectors by training step from a .pt of {step: vector} (no other pickle is read) or a .safetensors named by step.

    Returns:
        Steps, rising, and the vectors, shape (times, width), float32.

    Raises:
        MisdirectionError: The file is laid out otherwise.
    """
    path = Path(file)
    hint = "expected a mapping from training step to one vector each, at least three"
    try:
        vectors = read_vectors(path)
    except Exception as error:  # what the unpickler raises on a damaged file can be anything
        raise MisdirectionError(f"{path} cannot be read ({type(error).__name__}: {error})", hint) from error
    by_step = {int(match[0]): value for key, value in vectors.items() if (match := re.search(r"\d+$", str(key)))}
    shapes = {tuple(value.shape) for value in by_step.values()}
    if len(by_step) < 3 or len(by_step) < len(vectors) or len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise MisdirectionError(f"{path} holds {len(by_step)} vectors by step, of shapes {sorted(shapes)}", hint)
    steps = tuple(sorted(by_step))
    return steps, torch.stack([by_step[step].float() for step in steps])


def read_vectors(path: Path) -> dict[Any, Tensor]:
    """The tensors of a file by their key; anything else in a pickle is never read."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return cast(dict[Any, Tensor], load_file(path))
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def published_path(file: str | Path) -> PublishedPath:
    """Norm and cosine with the last of published vectors by step, and where the cosine passes 0.5 and 0.9."""
    steps, path = read_path(file)
    values = cosine_to_last(path).tolist()
    turns = tuple(
        _turning("cosine with the last", crossing(steps, values, level), f" reaches {level:g}") for level in (0.5, 0.9)
    )
    return PublishedPath(
        file=Path(file).name,
        steps=steps,
        norm=numbers(path.norm(dim=1)),
        to_last=numbers(values),
        width=path.shape[1],
        turns=turns,
    )


def _turning(measure: Measure, turn: Turn, detail: str = "") -> Turning:
    return Turning(measure=measure, quantity=f"{measure}{detail}", family="activations", turn=turn)
