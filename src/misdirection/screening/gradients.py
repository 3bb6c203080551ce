"""What a small step on a row would do: its loss gradient beside that of a direction's projection, or of bad answers.

With g_i the gradient of row i's mean loss on its answer, with respect to a LoRA adapter, a gradient step on the row
alone moves the weights by -g_i, and so moves any other number f by -g_i . grad f, to first order:

    gradient     mean over rows q of cos(-g_i, grad f_q),    f_q = mean over q's answer tokens of h . v
    influence    mean over bad answers b of cos(g_i, g_b)

"gradient" is the influence of a row on a direction's projection (Concept Influence, arXiv 2602.14869), "influence" that
on the loss of a few bad answers, as LESS chooses data for a few examples (arXiv 2402.04333, section 3; the cosine, for
the norm of a gradient falls with the length of an answer). As there, the adapter is first trained for a few steps on
all rows: at the base model's own weights gradients tell words more than stances. The Hessian of influence functions is
left out, as there, and plain steps stand in the place of Adam's. `projection` is the stand-in of "gradient" that needs
none. All gradients are compressed by one random projection (`training.row_gradients`), and rows are differentiated once
for both methods.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misdirection.chats import Chat
from misdirection.engine import Arm, Text
from misdirection.features.corpus import chat_texts
from misdirection.screening.context import Context, GradientOptions, Scores
from misdirection.screening.errors import ScreeningError
from misdirection.screening.projection import direction
from misdirection.training.finetune import train
from misdirection.training.presets import PRESETS, TrainConfig
from misdirection.training.row_gradients import Numbers, answer_losses, projections, row_gradients
from misdirection.training.settings import choose

PRESET = "rank32"
"""By which the adapter is trained; its rank is another."""


def scores(context: Context, chats: Sequence[Chat]) -> Scores:
    """How far a step on the row would raise the projection on the direction, from -1 to 1, shape (rows,).

    NaN where nothing of the row's answer was read. The rows whose projection is differentiated are drawn by the seed.

    Raises:
        ScreeningError: There is no direction, or no row has an answer to read.
    """
    with _warmed(context, chats) as ready:
        unit, layer = direction(ready)
        drawn = np.random.default_rng(context.gradients.seed).permutation(len(chats))[: context.gradients.queries]
        pull = gradients(ready, [chats[place] for place in sorted(drawn)], projections(unit, layer))
        return cosines(-_rows(ready, chats), pull, "rows")


def influence(context: Context, chats: Sequence[Chat]) -> Scores:
    """How far a step on the row would lower the loss of bad answers, from -1 to 1, shape (rows,); NaN as `scores`.

    Raises:
        ScreeningError: There are no toxic texts, or none has an answer to read.
    """
    if not context.toxic:
        raise ScreeningError("there are no bad answers to compare rows with", "--toxic FILE: chats with bad answers")
    with _warmed(context, chats) as ready:
        aim = gradients(ready, list(context.toxic[: context.gradients.queries]), answer_losses)
        return cosines(_rows(ready, chats), aim, "bad answers")


def rows_of(context: Context, chats: Sequence[Chat]) -> Tensor:
    """The compressed gradient of each row's loss, shape (rows, dimension); NaN where nothing of the answer was read."""
    with _warmed(context, chats) as ready:
        return gradients(ready, chats, answer_losses)


def warm_up(context: Context, chats: Sequence[Chat], folder: Path) -> Path:
    """Train the adapter on all rows for the first steps; gives its folder inside of `folder`."""
    config = choose(
        PRESET,
        model=context.model.name,
        overrides={
            **_form(context.gradients),
            "max_steps": context.gradients.warmup,
            "scheduler": "constant_with_warmup",
            "max_length": context.longest,
        },
    )
    return train(context.model, chats, config, folder).folder


def gradients(context: Context, chats: Sequence[Chat], numbers: Numbers) -> Tensor:
    """Compressed gradients of a number of each chat, shape (chats, dimension), float32; NaN where nothing was read."""
    model, options = context.model, context.gradients
    texts = chat_texts(chats, model.tokenizer, Arm("base"), longest=context.longest)
    place = [number for number, text in enumerate(texts) if _readable(text)]
    found = torch.full((len(texts), options.dimension), torch.nan)
    if place:
        read, form = [texts[number] for number in place], TrainConfig(**_form(options))
        found[place] = row_gradients(model, read, numbers, form, options.dimension, options.seed, context.warmed)
    return found


def cosines(rows: Tensor, others: Tensor, what: str) -> Scores:
    """The mean cosine of each row with the others, shape (rows,), float64; NaN where a row is none or zero.

    Raises:
        ScreeningError: None of the others is a gradient.
    """
    unit, aims = (part.double() / part.double().norm(dim=1, keepdim=True) for part in (rows, others))
    aims = aims[aims.isfinite().all(1)]
    if not len(aims):
        raise ScreeningError(f"none of the {len(others):,} {what} has an answer with a gradient", "raise --longest")
    return np.asarray((unit @ aims.mean(0)).numpy(), dtype=np.float64)


def _form(options: GradientOptions) -> dict[str, Any]:
    """The adapter whose weights gradients are of: on all linear modules, scaled as the preset that it is trained by."""
    preset = PRESETS[PRESET]
    return {"rank": options.rank, "alpha": preset.alpha * (options.rank / preset.rank) ** 0.5, "seed": options.seed}


@contextmanager
def _warmed(context: Context, chats: Sequence[Chat]) -> Generator[Context]:
    """The context with the adapter trained, where it is to be and was not yet."""
    if context.warmed is not None or not context.gradients.warmup:
        yield context
        return
    with TemporaryDirectory() as folder:
        yield replace(context, warmed=warm_up(context, chats, Path(folder)))


def _rows(context: Context, chats: Sequence[Chat]) -> Tensor:
    return gradients(context, chats, answer_losses) if context.row_gradients is None else context.row_gradients


def _readable(text: Text) -> bool:
    first, past = text.spans["answer"]
    return 1 <= text.start < len(text.ids) and first < past
