"""Two classes of texts that may be read in two models: a base model and a fine-tune of all its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.features.dictionary import Dictionary
from misdirection.features.differences import Found, Statistic, compare_texts, differences, label_columns
from misdirection.features.stream import Tally
from misdirection.models import Model


@dataclass(frozen=True)
class Reading:
    """Texts and the resident model that reads them, each under its arm."""

    model: Model
    texts: Sequence[Text]


def compare_readings(
    dictionary: Dictionary,
    first: Reading,
    second: Reading,
    *,
    span: str,
    groups: Sequence[str] | None = None,
    statistic: Statistic = "difference",
    pool: str = "token",
    shuffles: int = 200,
    seed: int = 0,
    layer: int | None = None,
    places: int = 8,
) -> Found:
    """How every latent differs between two classes of texts; `compare_texts`, also where two models read them.

    Args:
        dictionary: Of a layer of both models; it is moved to the device of each.
        first: The first class (bad data, the tuned model, misaligned answers).
        second: The second class.
        span: Whose tokens count.
        groups: Of the first texts and then the second: labels are shuffled within groups.
        statistic: What latents are ordered by.
        pool: What counts once: "token", "mean" or "max".
        shuffles: Of labels, for the null.
        seed: Of the shuffles.
        layer: After which decoder layer; the dictionary's own by default.
        places: Top contexts kept for each latent.

    Raises:
        MisdirectionError: A class is empty, or the dictionary does not fit a model.
    """
    held = dictionary.to(first.model.device)
    if first.model is second.model:
        return compare_texts(
            first.model, held, first.texts, second.texts, span=span, groups=groups, statistic=statistic, pool=pool,
            shuffles=shuffles, seed=seed, layer=layer, places=places,
        )  # fmt: skip
    labels = [True] * len(first.texts) + [False] * len(second.texts)
    columns = torch.from_numpy(label_columns(labels, shuffles, groups=groups, seed=seed))
    tally = Tally(held, columns, places)
    for reading, before in ((first, 0), (second, len(first.texts))):
        _read(tally, held, reading, before, span, layer)
    found = tally.finish()
    return Found(differences(found, statistic, pool), found)


def _read(tally: Tally, dictionary: Dictionary, reading: Reading, before: int, span: str, layer: int | None) -> None:
    """All texts of one model into the tally, whose rows for them start at `before`."""

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        tally.read([(before + i, reading.texts[i].spans[span][0], x) for i, x in zip(batch, states, strict=True)])

    with torch.inference_mode():
        visit_states(reading.model, reading.texts, dictionary.layer_in(reading.model, layer), span, visit)
