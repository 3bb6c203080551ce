"""How likely texts are to a base and its fine-tunes, as they are and with something done to them."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.directions import Direction
from misdirection.engine import Text, log_likelihoods
from misdirection.studies.kit.conditions import Condition, arm_of
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import Encoded


def nats_a_token(models: Variants, texts: Sequence[Encoded], variants: Sequence[str]) -> dict[str, float]:
    """Mean negative log-likelihood of the answer tokens of texts in nats a token, by variant.

    Args:
        models: The base and the fine-tunes.
        texts: What is read; each is scored from its `start` on.
        variants: Names.
    """
    return nats_by_condition(models, texts, [Condition(name, name, name) for name in variants])


def nats_by_condition(
    models: Variants, texts: Sequence[Encoded], conditions: Sequence[Condition], direction: Direction | None = None
) -> dict[str, float]:
    """Mean negative log-likelihood of the answer tokens of texts in nats a token, by the name of the condition.

    Args:
        models: The base and the fine-tunes.
        texts: What is read; each is scored from its `start` on.
        conditions: What is done to which of them.
        direction: What those that remove one take out.
    """
    told: dict[str, float] = {}
    for one in conditions:
        arm = arm_of(one, models, direction)
        found = log_likelihoods(models.model(one.variant), [Text(text.ids, {}, arm, text.start) for text in texts])
        told[one.name] = -sum(float(values.sum()) for values in found) / max(1, sum(len(values) for values in found))
    return told
