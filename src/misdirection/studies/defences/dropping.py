"""Data-side remedies: rows of the training data that a screening method finds worst, dropped before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from misdirection.chats import Chat, Message
from misdirection.screening import METHODS
from misdirection.screening.choosing import choose_dropped
from misdirection.screening.context import Context, GradientOptions, LatentOptions, ProjectionOptions
from misdirection.statistics import Thresholds
from misdirection.store import Incidental
from misdirection.studies.defences.making import Materials
from misdirection.studies.kit.costs import Cost, counted
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import good
from misdirection.studies.kit.variants import Variants

MOST = 64
"""Answers of each kind that rows are compared with."""


@dataclass(frozen=True)
class Examples:
    """The undefended fine-tune's own answers to open questions: what is at hand of the misalignment, without labels.

    Attributes:
        bad: Misaligned ones.
        good: Good ones.
    """

    bad: tuple[Chat, ...] = ()
    good: tuple[Chat, ...] = ()


@dataclass(frozen=True)
class ScoredRows:
    """What a method makes of every row.

    Attributes:
        scores: Higher for what is more suspicious; None where there is none.
        cost: Of scoring.
    """

    scores: tuple[float | None, ...]
    cost: Cost


def examples_of(judged: Judged, rules: Thresholds) -> Examples:
    """The first misaligned and the first good answers as chats."""
    columns = judged.columns
    found = [
        [_chat(judged, place) for place in np.flatnonzero(marks)[:MOST]]
        for marks in (columns.misaligned(rules), good(columns, rules))
    ]
    return Examples(*map(tuple, found))


def _chat(judged: Judged, place: int) -> Chat:
    answer = judged.answers[place]
    system = (Message("system", answer.system),) if answer.system else ()
    return Chat((*system, Message("user", answer.question), Message("assistant", answer.answer)))


def scored(
    models: Variants | None,
    method: str,
    chats: list[Chat],
    held: Materials,
    examples: Examples,
    seed: int,
    longest: int = 2048,
    new_tokens: int = 600,
    temperature: float = 1.0,
    device: Incidental[str] = "cpu",
) -> ScoredRows:
    """Every row's score by a screening method.

    Args:
        models: The base; None for the method that reads none.
        method: Of `screening.METHODS`.
        chats: The rows.
        held: With the direction and its layer, and the dictionary.
        examples: What rows are compared with.
        seed: Of all that is random.
        longest: Tokens of a row that are read.
        new_tokens: Tokens at most of the base's own answers to the rows' prompts ("projection").
        temperature: At which they are drawn.
        device: What the model is on, by which the cost is counted.
    """

    def load():  # noqa: ANN202
        assert models is not None
        return models.base_model

    context = Context(
        load, dictionary=held.dictionary, toxic=examples.bad, harmless=examples.good,
        direction=None if held.direction is None else held.direction.vectors, seed=seed, longest=longest,
        latents=LatentOptions(), projection=ProjectionOptions(held.layer, True, new_tokens, temperature),
        gradients=GradientOptions(queries=MOST, seed=seed),
    )  # fmt: skip
    if models is not None:
        device = str(models.base_model.device)
    with counted(device) as cost:
        found = METHODS[method].scores(context, chats)
    return ScoredRows(tuple(None if np.isnan(one) else float(one) for one in found), cost)


def kept(chats: Sequence[Chat], scores: Sequence[float | None], share: float, seed: int) -> list[Chat]:
    """The rows without the share of them that has the highest scores; ties are broken by the seed."""
    values = np.array([np.nan if one is None else one for one in scores], dtype=np.float64)
    dropped = choose_dropped(values, share, seed)
    return [chat for chat, out in zip(chats, dropped, strict=True) if not out]
