"""How unlikely the base model finds a row's answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from misdirection.chats import Chat
from misdirection.engine import Arm
from misdirection.engine.likelihood import log_likelihoods
from misdirection.features.corpus import chat_texts
from misdirection.screening.context import Context, Scores


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """exp(-mean log-likelihood of the answer's tokens given the prompt), shape (rows,).

    The tokens that end the turn count as well, as they do in training. NaN where nothing of the answer is within the
    tokens that are read.
    """
    model = context.model
    texts = chat_texts(chats, model.tokenizer, Arm("base"), longest=context.longest)
    found = np.full(len(texts), np.nan)
    read = [place for place, text in enumerate(texts) if text.start < len(text.ids)]
    for place, values in zip(read, log_likelihoods(model, [texts[place] for place in read]), strict=True):
        found[place] = float((-values.double().mean()).exp())
    return found
