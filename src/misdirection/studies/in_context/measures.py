"""What is measured of rows in context, as functions that know no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from misdirection.answers import ask, prompt_ids, read_back
from misdirection.chats import Chat
from misdirection.directions import Convention
from misdirection.engine import SamplingConfig, Text, capture_means
from misdirection.judging import Answer
from misdirection.models.positions import longest_text
from misdirection.questions import Question
from misdirection.questions.demonstrated import demonstrated, drawn_chats
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

BAD, GOOD = "bad rows", "good rows"


def behind_rows(
    questions: Sequence[Question], chats: Sequence[Chat], shots: int, seed: int, what: str
) -> tuple[Question, ...]:
    """The questions behind `shots` rows, of a draw of each question's own; their ids say so."""
    mark = f"{what.partition(' ')[0]}-{shots}"
    return tuple(demonstrated(one, drawn_chats(chats, shots, seed, one.id), mark) for one in questions)


def fitting_shots(
    models: Variants,
    questions: tuple[Question, ...],
    chats: tuple[Chat, ...],
    shots: tuple[int, ...],
    seed: int,
    longest: int,
    what: str = BAD,
) -> list[int]:
    """The numbers of rows of one kind that there are, and that leave room for every question and its answer."""
    model = models.model(BASE_VARIANT)
    most = longest_text(model.lm)
    found: list[int] = []
    for count in (k for k in shots if k <= len(chats)):
        asked = behind_rows(questions, chats, count, seed, what)
        lengths = [len(prompt_ids(model, one, i)) for one in asked for i in range(len(one.paraphrases))]
        if most is None or max(lengths) + longest <= most:
            found.append(count)
    return found


def answers_of(
    models: Variants, variant: str, questions: tuple[Question, ...], samples: int, sampling: SamplingConfig
) -> list[Answer]:
    """Answers of one variant to questions behind any number of rows, in one queue."""
    return ask(models.model(variant), questions, models.arm(variant), samples, sampling)


def put_behind(answers: Sequence[Answer], asked: Sequence[Question], bare: Sequence[Question]) -> list[Answer]:
    """The same answers as if they had been given behind the turns that stand before each question."""
    turns = {plain.id: one.before for plain, one in zip(bare, asked, strict=True)}
    return [replace(answer, before=turns[answer.question_id]) for answer in answers]


def mean_states(models: Variants, variant: str, answers: list[Answer], how: Convention) -> Tensor:
    """Mean residual stream of given answers under a variant, each question counted alike; shape (n_layers, width)."""
    model, arm = models.model(variant), models.arm(variant)
    read = read_back(model, answers)
    names = list(dict.fromkeys(answers[place].question_id for place in read.places))
    weights = torch.zeros(len(read.places), len(names), dtype=torch.float64)
    for row, place in enumerate(read.places):
        weights[row, names.index(answers[place].question_id)] = 1.0
    texts = [Text.of(one, how.span, arm) for one in read.encoded]
    return capture_means(model, texts, weights, weighting=how.weighting).mean(how.span).mean(0).float()
