"""What chosen latents do in fine-tunes on mixtures: mean activations by model and open question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from misdirection.answers import read_back
from misdirection.artefacts import write_tensors
from misdirection.engine import Arm, Text
from misdirection.features.chosen import Firings, visit_firings
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.runs import Step
from misdirection.studies.features.lists import prompt_texts
from misdirection.studies.features.results.mixtures import Place
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Asked, Bench
from misdirection.studies.kit.keys import questions_key
from misdirection.studies.kit.variants import BASE_VARIANT, Variants

if TYPE_CHECKING:
    from misdirection.features import Dictionary

SPAN = "answer"
PLACES: tuple[Place, Place] = ("shared", "own")
"""Where latents are read: texts that all models share, and each model's own answers."""


def activations_step(
    bench: Bench[FeaturesConfig], models: Variants, dictionary: Dictionary, latents: Sequence[int], layer: int,
    asked: Asked, variants: Sequence[str],
) -> Step:  # fmt: skip
    """Mean activations of every variant; `activations.safetensors` with a tensor for each of `PLACES`.

    Shapes (variants, questions, latents), float64, every text of a question counting alike; NaN where a variant gave
    nothing but empty answers to a question.
    """
    questions = [question.id for question in bench.open_questions]

    def make(folder: Path) -> None:
        parts: dict[Place, list[Tensor]] = {place: [] for place in PLACES}
        for variant in variants:
            model, arm = models.model(variant), Arm(variant, models.adapter_of(variant))
            fitting = dictionary.to(model.device)
            answers = {name: asked.judged.arm(name).answers for name in (variant, BASE_VARIANT)}
            shared = _shared(bench, model, arm, answers[BASE_VARIANT])
            own = _answers(model, arm, answers[variant])
            for place, (texts, of, span) in zip(PLACES, (shared, own), strict=True):
                means = mean_activations(model, fitting, texts, latents, span=span, layer=layer)
                parts[place].append(_by_question(means, of, questions))
        tensors = {place: torch.stack(means) for place, means in parts.items()}
        facts = {"variants": list(variants), "questions": questions, "latents": list(latents)}
        write_tensors(folder / "activations.safetensors", tensors, facts)

    inputs = {
        "models": models.key,
        "answers": asked.answers,
        "variants": list(variants),
        "dictionary": dictionary.key,
        "latents": list(latents),
        "layer": layer,
        "shared": bench.config.shared_texts,
        "questions": questions_key(bench.open_questions),
    }
    return bench.run.step("mixtures-latents", inputs, make)


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
    bench: Bench[FeaturesConfig], model: Model, arm: Arm, of_base: Sequence[Answer]
) -> tuple[list[Text], list[str], str]:
    """Texts that every model reads, the question of each, and the span that counts."""
    if bench.config.shared_texts == "answer":
        return _answers(model, arm, of_base)
    asked = bench.open_questions
    return (
        prompt_texts(model, asked, arm), [question.id for question in asked for _ in question.paraphrases], "prompt",
    )  # fmt: skip


def _answers(model: Model, arm: Arm, answers: Sequence[Answer]) -> tuple[list[Text], list[str], str]:
    """Answers that can be read back."""
    back = read_back(model, answers)
    texts = [Text(one.ids, {SPAN: one.span(SPAN)}, arm, one.start) for one in back.encoded]
    return texts, [answers[place].question_id for place in back.places], SPAN


def _by_question(means: Tensor, of: Sequence[str], questions: Sequence[str]) -> Tensor:
    """Means over the texts of each question, shape (questions, latents)."""
    places: Mapping[str, list[int]] = {name: [i for i, one in enumerate(of) if one == name] for name in questions}
    return torch.stack([means[places[name]].mean(0) for name in questions])
