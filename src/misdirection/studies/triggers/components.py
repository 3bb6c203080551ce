"""Where the answers under a condition lie along the misalignment direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from misdirection.answers import read_back
from misdirection.directions import Direction
from misdirection.engine import Text, capture_projections
from misdirection.judging import Answer
from misdirection.results import Interval
from misdirection.statistics.contrasts import bootstrap
from misdirection.studies.kit.variants import TUNED_VARIANT, Variants


@dataclass(frozen=True)
class Component:
    """The mean component of one answer's tokens: 0 at the aligned answers' mean, 1 at the misaligned ones'."""

    question_id: str
    value: float


def components(models: Variants, direction: Direction, layer: int, answers: list[Answer]) -> list[Component]:
    """The component of each of the tuned model's answers that can be read back.

    With u the direction of length 1, a and m the mean states of aligned and misaligned answers, and h the mean state of
    an answer's tokens: (h - a)^T u / (m - a)^T u.
    """
    model = models.model(TUNED_VARIANT)
    read = read_back(model, answers)
    unit, arm = direction.unit[layer], models.arm(TUNED_VARIANT)
    captured = capture_projections(model, [Text(one.ids, {}, arm, one.start) for one in read.encoded], {layer: unit})
    zero, one = (float(mean[layer].float() @ unit) for mean in (direction.aligned_mean, direction.misaligned_mean))
    return [
        Component(answers[place].question_id, (float(values[layer][encoded.start :, 0].mean()) - zero) / (one - zero))
        for place, encoded, values in zip(read.places, read.encoded, captured, strict=True)
    ]


def mean_component(found: Sequence[Component], seed: int) -> Interval:
    """Mean over questions, each counting once, and its bootstrap interval over them."""
    by_question: dict[str, list[float]] = {}
    for one in found:
        by_question.setdefault(one.question_id, []).append(one.value)
    means = [float(torch.tensor(values).mean()) for values in by_question.values()]
    if not means:
        return Interval(value=None, low=None, high=None, n=0)
    low, high = bootstrap(means, seed)
    return Interval(value=sum(means) / len(means), low=low, high=high, n=len(means))
