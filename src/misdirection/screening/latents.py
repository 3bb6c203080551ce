"""Closeness of a row's answer to the toxic latents of a dictionary (arXiv 2605.00842).

Toxic latents are the `top` whose statistic is largest on toxic against harmless texts. Of the paper's method we know
that it takes the 100 latents correlated most with toxic text and drops the half of the rows nearest to them; how a
correlation is pooled and what "nearest" is we do not, so both are settings. With a_l the mean activation of latent l
over the answer's tokens:

    activation   sum over toxic latents t of  r_t a_t / s_t
    nearest      sum over latents l of  a_l c_l / sum over l of a_l,    c_l = mean, max or mean of the m largest, over
                 toxic latents t, of cos(d_l, d_t)

where r_t is the latent's point-biserial correlation with toxicity, s_t the standard deviation of its activation over
both kinds of text, and d the decoder vectors. "activation" is the default: it asks whether the toxic latents themselves
fire, and how telling each is, and needs no assumption on the dictionary's geometry. "nearest" is the reading closest to
the paper's theory, in which training on a latent raises others by the cosine of their decoder vectors; it gives weight
to latents that always fire and mean nothing, whose cosine to toxic ones is then averaged in. With "nearest", "max" is
the default, since a latent that is itself toxic then counts 1 however many toxic latents are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from misdirection.chats import Chat
from misdirection.engine import Arm
from misdirection.engine.capture import visit_states
from misdirection.errors import command
from misdirection.features import Dictionary
from misdirection.features.corpus import chat_texts
from misdirection.features.differences import Side, compare_texts
from misdirection.features.stream import CHUNK_VALUES
from misdirection.models import Model
from misdirection.screening.context import Context, LatentOptions, Scores
from misdirection.screening.errors import ScreeningError


@dataclass(frozen=True)
class Toxic:
    """The toxic latents.

    Attributes:
        latents: Their numbers, the most telling first.
        correlation: With toxicity, shape (toxic,), float64.
        spread: Standard deviation of their activation over tokens of both kinds of text, shape (toxic,), float64.
    """

    latents: tuple[int, ...]
    correlation: Tensor
    spread: Tensor


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """Closeness of each row's answer to the toxic latents, shape (rows,); NaN where nothing of the answer was read.

    Raises:
        ScreeningError: There is no dictionary, toxic or harmless text, or no latent tells them apart.
        DictionaryError: The dictionary does not fit the model.
    """
    if context.dictionary is None:
        make = command("sae", "train", "--model", context.model.name, "--data", "FILE")
        raise ScreeningError("no dictionary is named", f"--dictionary FOLDER or RELEASE:ID; make one with: {make}")
    toxic, options = toxic_latents(context), context.latents
    weights = readout(context.dictionary, toxic, options)
    return weighted(context, context.model, context.dictionary, weights, chats, share=options.closeness == "nearest")


def toxic_latents(context: Context) -> Toxic:
    """The latents that tell toxic from harmless texts best; as many as were asked for, or as there are.

    Raises:
        ScreeningError: See `scores`.
    """
    assert context.dictionary is not None
    options, model = context.latents, context.model
    toxic, harmless = context.examples("toxic latents")
    sides = [
        Side(model, chat_texts(part, model.tokenizer, Arm("base"), longest=context.longest))
        for part in (toxic, harmless)
    ]
    found = compare_texts(
        context.dictionary, *sides, statistic=options.statistic, pool=options.pool, shuffles=0, layer=options.layer,
        places=1,
    )  # fmt: skip
    chosen = [latent for latent in found.differences.top(options.top) if found.differences.correlation[latent] > 0]
    if not chosen:
        raise ScreeningError(
            f"no latent is more active on toxic than on harmless texts ({len(toxic)} and {len(harmless)} read)",
            "give texts that differ more, or a dictionary of another layer",
        )
    sums, squares, counts = (
        found.statistics.sums["token"], found.statistics.squares["token"], found.statistics.counts["token"]
    )  # fmt: skip
    variance = squares.sum(0) / counts.sum() - (sums.sum(0) / counts.sum()) ** 2
    spread = variance.clamp(min=1e-24).sqrt()[chosen]
    return Toxic(tuple(chosen), found.differences.correlation[chosen].double(), spread)


def readout(dictionary: Dictionary, toxic: Toxic, options: LatentOptions) -> Tensor:
    """What one unit of each latent's mean activation adds to a row's score, shape (latents,), float32."""
    if options.closeness == "activation":
        weights = torch.zeros(dictionary.latents)
        weights[list(toxic.latents)] = (toxic.correlation / toxic.spread).float()
        return weights
    directions = dictionary.directions.cpu()
    cosines = directions @ directions[list(toxic.latents)].T
    most = {"mean": cosines.shape[1], "max": 1, "top": min(options.nearest, cosines.shape[1])}[options.reduce]
    return cosines.topk(most, dim=1).values.mean(1)


def weighted(
    context: Context, model: Model, dictionary: Dictionary, weights: Tensor, chats: Sequence[Chat], *, share: bool
) -> Scores:
    """Sum over latents of weight times mean activation over the answer's tokens; as a share of all activation, or not.

    Nothing larger than a chunk of (tokens, latents) is ever held.
    """
    dictionary, weights = dictionary.to(model.device), weights.to(model.device)
    texts = chat_texts(chats, model.tokenizer, Arm("base"), longest=context.longest)
    found = np.full(len(texts), np.nan)
    most = max(1, CHUNK_VALUES // dictionary.latents)

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        for index, held in zip(batch, states, strict=True):
            parts = [dictionary.active(part)[1:] for part in held.split(most) if len(part)]
            total = sum(float((values.double() * weights[latents]).sum()) for latents, values in parts)
            below = sum(float(values.double().sum()) for _, values in parts) if share else len(held)
            found[index] = total / below if below else np.nan if not len(held) else 0.0

    at = dictionary.layer_in(model, context.latents.layer)
    with torch.inference_mode():
        visit_states(model, texts, at, "answer", visit)
    return found
