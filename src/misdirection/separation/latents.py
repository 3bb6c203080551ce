"""Which latents of a dictionary two concepts have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from misdirection.engine import Arm
from misdirection.features import Dictionary
from misdirection.features.corpus import chat_texts
from misdirection.features.stream import latent_statistics
from misdirection.models import Model
from misdirection.separation.closeness import Numbers
from misdirection.separation.states import Concept


def top_latents(
    model: Model, dictionary: Dictionary, concepts: Sequence[Concept], arm: Arm, most: int, *, longest: int = 2048
) -> list[list[int]]:
    """The latents of each concept that fire more where it shows, strongest first, at most `most`.

    By mean activation over the answers' tokens: where it shows, minus where it does not; for a concept without such
    chats, minus the mean of all concepts.
    """
    chats = [(place, shown, chat) for place, one in enumerate(concepts)
             for shown, part in ((True, one.shown), (False, one.without)) for chat in part]  # fmt: skip
    weights = torch.zeros(len(chats), 2 * len(concepts), dtype=torch.float64)
    for row, (place, shown, _) in enumerate(chats):
        weights[row, 2 * place + (not shown)] = 1.0
    texts = chat_texts([chat for *_, chat in chats], model.tokenizer, arm, longest=longest)
    means = latent_statistics(model, dictionary, texts, weights).mean()
    middle = means[::2].mean(0)
    return [
        _largest(means[2 * place] - (means[2 * place + 1] if one.without else middle), most)
        for place, one in enumerate(concepts)
    ]


def _largest(values: Tensor, most: int) -> list[int]:
    order = values.argsort(descending=True)[:most]
    return [int(place) for place in order if float(values[place]) > 0]


def latent_overlap(tops: Sequence[Sequence[int]]) -> Numbers:
    """|A and B| / min(|A|, |B|) of every two lists, shape (concepts, concepts); 0 with an empty one."""
    sets = [set(top) for top in tops]
    return np.array([[len(a & b) / max(min(len(a), len(b)), 1) for b in sets] for a in sets], dtype=np.float64)
