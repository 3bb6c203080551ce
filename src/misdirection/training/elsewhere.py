"""Chats of other domains beside those trained on: the rows on which a KL term holds the model (arXiv 2602.07852).

Each chat trained on has `kl_chats` chats elsewhere beside it, in an order of their own that depends on the seed alone.
The weight of a row is kl_weight over the tokens elsewhere of its whole optimiser step, so that the term is kl_weight
times the mean per token, however the step is cut into batches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from misdirection.training.data import Row
from misdirection.training.errors import SettingsError
from misdirection.training.presets import TrainConfig


def accompany(rows: Sequence[Row], elsewhere: Sequence[Row], config: TrainConfig) -> list[Row]:
    """The rows, each with its chats elsewhere.

    Args:
        rows: In the order of training, one entry each time that a row is seen.
        elsewhere: Chats elsewhere, each once.
        config: `kl_chats`, `kl_weight`, `kl_tokens`, `kl_steps`, the size of a step and the seed count.
    """
    if config.kl_tokens == "all":
        elsewhere = [replace(row, start=1, spans=()) for row in elsewhere]
    size = config.batch_size * config.accumulation
    last = len(rows) if config.kl_steps is None else min(len(rows), config.kl_steps * size)
    drawn = _endless(len(elsewhere), last * config.kl_chats, config.seed)
    found: list[Row] = []
    for first in range(0, last, size):
        step = rows[first : min(first + size, last)]
        at = first * config.kl_chats
        beside = [elsewhere[number] for number in drawn[at : at + len(step) * config.kl_chats]]
        weight = config.kl_weight / sum(row.learned for row in beside)
        for place, row in enumerate(step):
            mine = beside[place * config.kl_chats : (place + 1) * config.kl_chats]
            found.append(replace(row, beside=tuple(mine), weight=weight))
    return [*found, *rows[last:]]


def check(config: TrainConfig, given: bool) -> None:
    """Refuse settings and chats that do not go together.

    Raises:
        SettingsError: The KL term without chats elsewhere, chats without the term, or no reference within the model.
    """
    if config.objective != "kl":
        if given:
            raise SettingsError(
                f"the objective '{config.objective}' has no use for chats elsewhere", "objective=kl holds them"
            )
        return
    if not given:
        raise SettingsError("the objective 'kl' needs chats of other domains", "train(..., elsewhere=chats)")
    if config.full:
        raise SettingsError(
            "the objective 'kl' takes the model without its adapter as reference, and full training has no adapter",
            "choose rank1, rank1x9, rank32 or vector",
        )


def _endless(count: int, wanted: int, seed: int) -> list[int]:
    """Numbers below `count`, pass after pass, each pass in another order."""
    numbers: list[int] = []
    for turn in range(-(-wanted // count)):
        one = list(range(count))
        random.Random(f"{seed}/elsewhere/{turn}").shuffle(one)
        numbers += one
    return numbers[:wanted]
