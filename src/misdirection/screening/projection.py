"""How much further along a direction a row's answer lies than the base model's own (arXiv 2507.21509, section 6).

    score_i = (a(x_i, y_i) - a(x_i, y_i')) . v / |v|

with a the mean residual stream over the answer's tokens after one layer, y_i the row's answer and y_i' the model's own
answer to the same prompt. The paper reads layer 20 of 28 and 16 of 32, the one that steers best; here the middle one
is the default. Without subtraction the score is the first term alone: cheaper, and what a prompt adds is left in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from misdirection import progress
from misdirection.answers import answered_chats
from misdirection.chats import Chat
from misdirection.engine import Arm, Prompt, Row, SamplingConfig, capture_means, capture_projections, sample
from misdirection.errors import command
from misdirection.features.corpus import chat_texts
from misdirection.screening.context import Context, Scores
from misdirection.screening.errors import ScreeningError
from misdirection.tokens import encode_prompt

BASE = Arm("base")


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """The projection difference of each row, shape (rows,); NaN where nothing of the row's answer was read.

    Where the model's own answer is empty, the mean projection of its other answers stands in.

    Raises:
        ScreeningError: The layer is not one of the model's, or the direction is zero there.
    """
    unit, layer = direction(context)
    found = along(context, chats, unit, layer)
    if not context.projection.subtract:
        return found
    own = context.own_answers if context.own_answers is not None else own_answers(context, chats)
    place = [number for number, chat in enumerate(own) if chat.answer.strip()]
    if not place:
        raise ScreeningError("all of the model's own answers are empty", "--raw-projection leaves them out")
    if len(place) < len(own):
        count = f"{len(own) - len(place):,} of the model's {len(own):,} own answers are empty"
        progress.say(f"{count}: the mean of the others stands in their place")
    values = along(context, [own[i] for i in place], unit, layer)
    base = np.full(len(chats), np.nanmean(values))
    base[place] = np.where(np.isnan(values), base[place], values)
    return found - base


def own_answers(context: Context, chats: Sequence[Chat]) -> list[Chat]:
    """Each row with the base model's own answer, on its tokens; rows with one prompt get samples of their own."""
    model, options = context.model, context.projection
    prompts: dict[tuple[int, ...], Prompt] = {}
    asked: Counter[tuple[int, ...]] = Counter()
    rows: list[Row] = []
    for number, chat in enumerate(chats):
        ids = encode_prompt(model.tokenizer, chat.prompt)
        rows.append(Row(prompts.setdefault(ids, Prompt(f"row-{number}", ids)), BASE, asked[ids]))
        asked[ids] += 1
    drawn = sample(model, rows, SamplingConfig(options.max_new_tokens, options.temperature, seed=context.seed))
    return answered_chats(model, [chat.prompt for chat in chats], drawn)


def direction(context: Context) -> tuple[Tensor, int]:
    """The unit direction, shape (width,), and its layer: the one given, or mean toxic minus mean harmless answer.

    Raises:
        ScreeningError: See `scores`.
    """
    model, wanted = context.model, context.projection.layer
    layer = model.n_layers // 2 if wanted is None else wanted
    if not 0 <= layer < model.n_layers:
        raise ScreeningError(f"{model.name} has no layer {layer}", f"its layers are 0 to {model.n_layers - 1}")
    if (given := context.direction) is None:
        vector = _toxic_minus_harmless(context, layer)
    elif given.shape != (model.n_layers, model.width):
        raise ScreeningError(
            f"the direction has the shape {tuple(given.shape)}, {model.name} asks for {(model.n_layers, model.width)}",
            f"make it on a run of this model: {command('direction', 'RUN')}",
        )
    else:
        vector = given[layer].double()
    norm = float(vector.norm())
    if not np.isfinite(norm) or norm == 0:
        raise ScreeningError(f"there is no direction at layer {layer}: its length is {norm:g}", "choose another layer")
    return (vector / norm).float(), layer


def _toxic_minus_harmless(context: Context, layer: int) -> Tensor:
    """Difference of means over answers, each answer counting alike (the paper's weighting), shape (width,)."""
    model = context.model
    toxic, harmless = context.examples("a direction where --direction names none")
    texts = chat_texts([*toxic, *harmless], model.tokenizer, BASE, longest=context.longest)
    bad = torch.arange(len(texts)) < len(toxic)
    columns = torch.stack([bad, ~bad], dim=1).double()
    means = capture_means(model, texts, columns, layers=[layer], weighting="response").mean("answer")
    return means[0, 0] - means[1, 0]


def along(context: Context, chats: Sequence[Chat], unit: Tensor, layer: int) -> Scores:
    """Mean component of the answer's tokens along a unit direction, shape (chats,); NaN without a token."""
    texts = chat_texts(chats, context.model.tokenizer, BASE, longest=context.longest)
    held = capture_projections(context.model, texts, {layer: unit})
    values = [part[layer][slice(*text.spans["answer"]), 0] for text, part in zip(texts, held, strict=True)]
    return np.array([float(value.double().mean()) if len(value) else np.nan for value in values])
