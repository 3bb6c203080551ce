"""What a mean difference is held against: directions of shuffled labels, and of pools with the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.directions.conventions import Convention
from misdirection.directions.mean_difference import Source, pooled_texts
from misdirection.directions.pools import Pools
from misdirection.directions.similarity import cosines
from misdirection.engine import Arm, capture_means
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.statistics import shuffled_columns


@dataclass(frozen=True)
class Nulls:
    """Directions to hold a mean difference against, all of the same answers; float32.

    Attributes:
        free: Labels shuffled among all answers: nothing is shared. Shape (shuffles, n_layers, width).
        within: Labels shuffled among the answers to one question only. What is left is the share that each question
            has in each pool: how alike two directions are for having been made of the same questions. Same shape.
        matched: The direction with the same mix of questions in both pools, from the questions that have answers in
            both (`match`): what misalignment does to answers beyond which questions bring it out. Shape (n_layers,
            width); NaN where no question has both.
        matched_free: The same of labels shuffled within questions: its own null. Shape (shuffles, n_layers, width).
        mixed: How many questions have answers in both pools.
    """

    free: Tensor
    within: Tensor
    matched: Tensor
    matched_free: Tensor
    mixed: int


def null_directions(
    model: Model,
    arm: Arm,
    sources: Sequence[Source],
    pools: Pools,
    how: Convention,
    *,
    shuffles: int = 40,
    seed: int = 0,
) -> Nulls:
    """Mean differences of the same answers with labels shuffled or questions matched, in one pass over them.

    Args:
        model: The resident model.
        arm: Condition under which the answers are read.
        sources: All answers; `pools` holds indices into them.
        pools: Which are aligned and which misaligned.
        how: Tokens and weighting.
        shuffles: How many.
        seed: Of the shuffles. Models whose shuffles are compared want different seeds: with equal ones and pools of
            equal size the same questions would be exchanged in both, and the null would not be one.
    """
    texts, bad, questions = pooled_texts(arm, sources, pools, how)
    free = shuffled_columns(bad, shuffles, seed=seed)
    within = shuffled_columns(bad, shuffles, groups=questions, seed=seed)
    real = np.stack([bad, ~bad], axis=1).astype(np.float64)
    columns = np.concatenate([free, within, match(real, questions), match(within, questions)], axis=1)
    means = capture_means(model, texts, torch.from_numpy(columns), weighting=how.weighting).mean(how.span)
    parts = (means[0::2] - means[1::2]).float().split([shuffles, shuffles, 1, shuffles])
    mixed = len(
        {q for q, b in zip(questions, bad, strict=True) if b}
        & {q for q, b in zip(questions, bad, strict=True) if not b}
    )
    return Nulls(parts[0], parts[1], parts[2][0], parts[3], mixed)


def match(columns: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Weights that give both pools the same mix of groups.

    Within a group of b misaligned and g aligned answers each misaligned one counts g / (b + g) and each aligned one
    b / (b + g): both pools then count it b g / (b + g), the weight of least variance for a sum of differences of means.
    A group without one of the two counts nothing.

    Args:
        columns: Pairs of 0/1 columns (misaligned, aligned), shape (answers, 2 * pairs).
        groups: Group of each answer.
    """
    names = np.asarray(groups)
    found = np.zeros_like(columns)
    for name in np.unique(names):
        inside = columns[names == name]
        sizes = inside.sum(0).reshape(-1, 2)
        total = np.maximum(sizes.sum(1, keepdims=True), 1.0)
        found[names == name] = inside * (sizes[:, ::-1] / total).reshape(-1)
    return found


def cosine_band(shuffled: Sequence[Tensor], level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Where cosines between directions of shuffled labels lie, layer by layer.

    Shuffle k of one model is compared with shuffle k of another, for every pair of models.

    Args:
        shuffled: For each of two or more models the shuffled directions, shape (shuffles, n_layers, width), as many
            shuffles each.
        level: Share of the cosines inside of the band.

    Returns:
        Lower and upper end, each of shape (n_layers,), float64.

    Raises:
        MisdirectionError: There are fewer than two models.
    """
    if len(shuffled) < 2:
        raise MisdirectionError("a null band of cosines needs the shuffled directions of two models or more")
    found = torch.cat([cosines(one, other) for one, other in combinations(shuffled, 2)])
    tail = (1 - level) / 2
    return found.quantile(tail, dim=0), found.quantile(1 - tail, dim=0)
