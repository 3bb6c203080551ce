"""Tokens that a latent's decoder vector promotes and suppresses, by the logit lens.

The vector goes through the final norm, its weight folded in, and the unembedding, as an adapter's B does
(`adapters.unembedding`, which says what such a look is worth).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from misdirection.adapters.unembedding import ScoredTokens, logits_of, reading
from misdirection.features.dictionary import Dictionary
from misdirection.models import Model


def promoted_tokens(
    model: Model, dictionary: Dictionary, latents: Sequence[int], most: int = 10, *, norm: bool = True
) -> list[ScoredTokens]:
    """Tokens at either end of each latent's scores, in standard deviations over the vocabulary.

    Args:
        model: The resident model; its base, adapters being off.
        dictionary: Of one of its layers.
        latents: Which.
        most: Tokens an end.
        norm: Apply the final norm.

    Raises:
        MisdirectionError: The model has no unembedding or no final norm that is known, or the widths differ.
    """
    dictionary.layer_in(model, dictionary.layer or 0)
    index = torch.tensor(list(latents), device=dictionary.decoder.device)
    scores = logits_of(model, dictionary.decoder[index], norm=norm)
    return [reading(row, most) for row in scores]
