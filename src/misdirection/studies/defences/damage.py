"""What an arm does elsewhere: how likely good answers still are, and how far it speaks from the base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.engine import Arm, Text
from misdirection.engine.likelihood import compare
from misdirection.results import Interval
from misdirection.results.rows import known_number
from misdirection.statistics.crossed import crossed_mean
from misdirection.studies.kit.conditions import Condition, arm_of
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read


@dataclass(frozen=True)
class Harm:
    """One text under one condition.

    Attributes:
        arm: Name of the condition.
        text: Its place among the texts.
        nll: Mean negative log-likelihood of its answer, nats a token.
        base_nll: The base model's.
        kl: Mean KL(condition || base) over the answer's tokens, nats.
    """

    arm: str
    text: int
    nll: float
    base_nll: float
    kl: float


def damage(
    models: Variants, conditions: Sequence[Condition], chats: list[Chat], direction: Direction | None = None
) -> list[Harm]:
    """How good answers are read under conditions, text by text.

    Args:
        models: The base and the fine-tunes.
        conditions: What is done to which of them.
        chats: Good chats that nothing was trained on.
        direction: That the conditions use.
    """
    # Fine-tunes are asked as their base is.
    encoded = [encode_read(models.base_model.tokenizer, chat.messages) for chat in chats]
    base, found = (models.base_model, Arm("base")), list[Harm]()
    texts = [Text(one.ids, {}, base[1], one.start) for one in encoded]
    for condition in conditions:
        other = models.model(condition.variant), arm_of(condition, models, direction)
        for place, held in enumerate(compare(base, other, texts)):
            nll, base_nll = -float(held.second.mean()), -float(held.first.mean())
            found.append(Harm(condition.name, place, nll, base_nll, float(held.divergence.mean())))
    return found


def over_texts(found: Sequence[Harm], names: Sequence[str], what: str) -> Interval | None:
    """Mean over texts and seeds with its interval; None where nothing was read.

    Args:
        found: All that was read.
        names: The conditions of one arm, one a seed.
        what: "nll", "base_nll" or "kl".
    """
    held: Mapping[str, list[float]] = {name: [getattr(one, what) for one in found if one.arm == name] for name in names}
    if not all(held.values()) or not held:
        return None
    table = np.array(list(held.values())).T
    mean = crossed_mean(table)
    return Interval(value=mean.value, low=known_number(mean.low), high=known_number(mean.high), n=table.size)


def perplexity(nll: Interval | None) -> Interval | None:
    """Exp of a mean negative log-likelihood, and of the ends of its interval."""
    if nll is None:
        return None
    value, low, high = (None if one is None else math.exp(one) for one in (nll.value, nll.low, nll.high))
    return Interval(value=value, low=low, high=high, n=nll.n)
