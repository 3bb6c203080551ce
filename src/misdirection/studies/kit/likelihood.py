"""How likely texts are to a base and its fine-tunes."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.engine import Arm, Text, log_likelihoods
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import Encoded


def nats_a_token(models: Variants, texts: Sequence[Encoded], variants: Sequence[str]) -> dict[str, float]:
    """Mean negative log-likelihood of the answer tokens of texts in nats a token, by variant.

    Args:
        models: The base and the fine-tunes.
        texts: What is read; each is scored from its `start` on.
        variants: Names.
    """
    told: dict[str, float] = {}
    for name in variants:
        model, arm = models.model(name), Arm(name, models.adapter_of(name))
        found = log_likelihoods(model, [Text(one.ids, {}, arm, one.start) for one in texts])
        told[name] = -sum(float(values.sum()) for values in found) / max(1, sum(len(values) for values in found))
    return told
