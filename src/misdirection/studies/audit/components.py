"""Does a removal last? The component along the direction after every layer, measured again on the same texts.

A direction that is taken out at one layer may be written back by the layers behind it, and one layer's direction taken
out everywhere leaves what other layers' directions do not share with it. So after each removal the answers that the
direction was made of are read once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from misdirection import progress
from misdirection.conditions import Condition
from misdirection.directions import Convention, Direction, choose_pools
from misdirection.engine import Text, capture_means
from misdirection.studies.audit.results import ComponentLeft
from misdirection.studies.kit.conditions import arm_of
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import own_answers
from misdirection.studies.kit.variants import TUNED_VARIANT, Variants

READ = 64
"""Misaligned answers that are read at most, spread over the pool."""


def components_left(
    models: Variants,
    conditions: Sequence[Condition],
    judged: Judged,
    questions: Sequence[str],
    direction: Direction,
    how: Convention,
    seed: int,
) -> tuple[ComponentLeft, ...]:
    """Where the misaligned answers of the direction lie along it under each condition, after every layer.

    With u the direction of length 1 at a layer, a and m the mean states of aligned and misaligned answers, and h that
    of the answers as they are read here: (h - a)^T u / (m - a)^T u, so that the model as it is stands at 1, and what
    speaks as in aligned answers at 0.

    Args:
        models: The variants that the conditions name.
        conditions: What is done while the texts are read.
        judged: Answers with verdicts, those of the tuned model among them.
        questions: Ids of those whose answers count, as for the direction.
        direction: The misalignment direction of these answers.
        how: Pools, tokens and weighting of the direction.
        seed: Of the pools.
    """
    said, sources, _ = own_answers(models.model(TUNED_VARIANT), judged, questions, TUNED_VARIANT)
    pool = choose_pools(said, how, seed=seed).misaligned
    read = [sources[pool[place]].encoded for place in sorted({i * len(pool) // READ for i in range(READ)})]
    found: list[ComponentLeft] = []
    with progress.task("components after removal", len(conditions), "arms") as advance:
        for condition in conditions:
            arm = arm_of(condition, models, direction)
            texts = [Text.of(one, how.span, arm) for one in read]
            mean = capture_means(
                models.model(condition.variant), texts, torch.ones(len(texts), 1), weighting=how.weighting
            ).mean(how.span)[0]
            found.append(left_of(condition, along(direction, mean)))
            advance()
    return tuple(found)


def along(direction: Direction, mean: Tensor) -> tuple[float | None, ...]:
    """A mean state by layer, shape (n_layers, width), as 0 (aligned) to 1 (misaligned); None without a direction."""
    parts = ((mean.float() - direction.aligned_mean) * direction.unit).sum(-1)
    return tuple(
        float(part / norm) if norm > 0 else None for part, norm in zip(parts, direction.norm.tolist(), strict=True)
    )


def left_of(condition: Condition, values: tuple[float | None, ...]) -> ComponentLeft:
    """The values of a condition beside where it acts."""
    done, held = condition.along, condition.held
    at = done.layers[0] if done and done.layers and len(done.layers) == 1 else held.layer if held else None
    return ComponentLeft(arm=condition.name, label=condition.label, control=condition.control, at=at, values=values)
