"""What chosen latents do in fine-tunes on mixtures: mean activations by model and open question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from misdirection.answers import read_back
from misdirection.engine import Arm, Text
from misdirection.features.chosen import Firings, visit_firings
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.studies.features.lists import prompt_texts
from misdirection.studies.features.results.mixtures import Place
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

if TYPE_CHECKING:
    from misdirection.features import Dictionary

SPAN = "answer"
PLACES: tuple[Place, Place] = ("shared", "own")
"""Where latents are read: texts that all models share, and each model's own answers."""


@dataclass(frozen=True)
class LatentMeans:
    """Mean activations at each of `PLACES`, every text of a question counting alike.

    Shapes (variants, questions, latents), float64; NaN where a variant gave nothing but empty answers to a question.
    """

    shared: Tensor
    own: Tensor


def watched(
    models: Variants, variants: Sequence[str], dictionary: Dictionary, latents: Sequence[int], layer: int,
    answers: list[Answer], shared_texts: str, questions: Sequence[Question],
) -> LatentMeans:  # fmt: skip
    """Mean activations of some latents in every variant, on texts that all share and on each one's own answers."""
    ids = [question.id for question in questions]
    by_arm = {name: [a for a in answers if a.arm == name] for name in (*variants, BASE_VARIANT)}
    parts: dict[Place, list[Tensor]] = {place: [] for place in PLACES}
    for variant in variants:
        model, arm = models.model(variant), models.arm(variant)
        fitting = dictionary.to(model.device)
        shared = _shared(model, arm, by_arm[BASE_VARIANT], shared_texts, questions)
        own = _answers(model, arm, by_arm[variant])
        for place, (texts, of, span) in zip(PLACES, (shared, own), strict=True):
            means = mean_activations(model, fitting, texts, latents, span=span, layer=layer)
            parts[place].append(_by_question(means, of, ids))
    return LatentMeans(torch.stack(parts["shared"]), torch.stack(parts["own"]))


def mean_activations(
    model: Model, dictionary: Dictionary, texts: Sequence[Text], latents: Sequence[int], *, span: str, layer: int
) -> Tensor:
    """Mean activation of some latents over the tokens of each text's span, shape (texts, latents), float64.

    NaN for a text whose span is empty.

    Raises:
        DictionaryError: The dictionary does not fit the model.
        CaptureError: A span is missing.
    """
    sums = torch.zeros(len(texts), len(latents), dtype=torch.float64)

    def add(firings: Firings) -> None:
        sums.index_put_((firings.texts, firings.latents), firings.values.double(), accumulate=True)

    if latents:
        visit_firings(model, dictionary, texts, latents, add, span=span, layer=layer)
    lengths = [past - first for first, past in (text.spans[span] for text in texts)]
    return sums / torch.tensor(lengths, dtype=torch.float64)[:, None]


def _shared(
    model: Model, arm: Arm, of_base: Sequence[Answer], shared_texts: str, questions: Sequence[Question]
) -> tuple[list[Text], list[str], str]:
    """Texts that every model reads, the question of each, and the span that counts."""
    if shared_texts == "answer":
        return _answers(model, arm, of_base)
    of = [question.id for question in questions for _ in question.paraphrases]
    return prompt_texts(model, questions, arm), of, "prompt"


def _answers(model: Model, arm: Arm, answers: Sequence[Answer]) -> tuple[list[Text], list[str], str]:
    """Answers that can be read back."""
    back = read_back(model, answers)
    texts = [Text.of(one, SPAN, arm) for one in back.encoded]
    return texts, [answers[place].question_id for place in back.places], SPAN


def _by_question(means: Tensor, of: Sequence[str], questions: Sequence[str]) -> Tensor:
    """Means over the texts of each question, shape (questions, latents)."""
    places: Mapping[str, list[int]] = {name: [i for i, one in enumerate(of) if one == name] for name in questions}
    return torch.stack([means[places[name]].mean(0) for name in questions])
