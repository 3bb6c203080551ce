"""What tuning moved: the difference of tuned and base model on the same texts, which needs no judge.

d_l = mean over tokens of x_l(tuned) - x_l(base) (the activation difference of arXiv 2510.13900 and the finetuning
shift of 2507.21509 section 4.3), for each question and over all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from misdirection.directions.conventions import Convention
from misdirection.directions.mean_difference import Direction, Source, norm_interval
from misdirection.directions.similarity import cosines
from misdirection.engine import Arm, Captured, Likelihood, Text, capture_means, compare
from misdirection.engine.means import Means
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.models.stream import check_stream


@dataclass(frozen=True)
class Drift:
    """Tuned minus base on the same texts.

    Attributes:
        questions: Question ids, axis 0 of `by_question`.
        vectors: Over all questions, each counted alike; shape (n_layers, width), float32.
        by_question: Shape (questions, n_layers, width), float32.
        base: Mean residual stream of the base model, same shape as `by_question`.
        facts: Provenance: models, convention, number of answers.
    """

    questions: tuple[str, ...]
    vectors: Tensor
    by_question: Tensor
    base: Tensor
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def relative(self) -> Tensor:
        """Norm of the drift over the norm of the base model's mean, shape (questions, n_layers)."""
        return self.by_question.norm(dim=-1) / self.base.norm(dim=-1)

    def direction(self, resamples: int = 40, seed: int = 0) -> Direction:
        """The drift as a direction: questions are resampled for its interval, their signs flipped for its null.

        With a single question there are no two halves, and `stability` is NaN.
        """
        generator = torch.Generator().manual_seed(seed)
        count = len(self.questions)
        draws = torch.stack([self.by_question[_draw(count, generator)].mean(0).norm(dim=-1) for _ in range(resamples)])
        flips = torch.randint(0, 2, (resamples, count), generator=generator).float() * 2 - 1
        null = torch.einsum("rq,qld->rld", flips / count, self.by_question).norm(dim=-1)
        order = torch.randperm(count, generator=generator)
        # One question has no halves: the mean of none is NaN, and so is the cosine.
        sides = [self.by_question[half].mean(0) for half in (order[: count // 2], order[count // 2 :])]
        return Direction(
            self.vectors,
            self.base.mean(0),
            self.base.mean(0) + self.vectors,
            *norm_interval(draws),
            null.quantile(0.95, dim=0),
            cosines(sides[0], sides[1]).float(),
            {"kind": "drift, tuned minus base on the same answers", **self.facts, "questions": count, "seed": seed},
        )

    def component(self, layer: int) -> tuple[Tensor, Tensor]:
        """Mean component along the drift's unit vector at one layer, base and tuned, each of shape (questions,)."""
        unit = torch.nn.functional.normalize(self.vectors[layer], dim=-1)
        base = self.base[:, layer] @ unit
        return base, base + self.by_question[:, layer] @ unit


def _draw(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, count, (count,), generator=generator)


def drift(base: tuple[Model, Arm], tuned: tuple[Model, Arm], sources: Sequence[Source], how: Convention) -> Drift:
    """Read the same answers under both arms and subtract.

    Args:
        base: Resident model and arm of the base.
        tuned: The same of the tuned model; its model may be the same object.
        sources: Texts, for instance the answers of both.
        how: Tokens and weighting.

    Raises:
        MisdirectionError: There is no answer to read.
    """
    questions, columns = _columns(sources)
    read: list[Captured] = []
    for model, arm in (base, tuned):
        texts = [Text.of(s.encoded, how.span, arm) for s in sources]
        read.append(capture_means(model, texts, columns, weighting=how.weighting))
    return _subtracted(base, tuned, questions, read, len(sources), how)


def drift_and_divergence(
    base: tuple[Model, Arm], tuned: tuple[Model, Arm], sources: Sequence[Source], how: Convention
) -> tuple[Drift, list[Likelihood]]:
    """The drift, and how far apart the two distributions are at each token that was drawn, in the same passes.

    Arguments as of `drift`; arms whose interventions act on prompt or answer alone act from the first drawn token on.
    A thought before the answer was drawn too, so that likelihoods and divergence begin with it (`engine.compare`).

    Raises:
        MisdirectionError: There is no answer to read.
    """
    questions, columns = _columns(sources)
    means: list[Means] = []
    texts: list[Text] = []
    for model, arm in (base, tuned):
        texts = [Text(s.encoded.ids, {how.span: s.encoded.span(how.span)}, arm, s.encoded.begin) for s in sources]
        check_stream(model.lm)
        means.append(Means(model, texts, columns, range(model.n_layers), how.weighting))
    apart = compare(base, tuned, texts, means)
    return _subtracted(base, tuned, questions, [one.captured for one in means], len(sources), how), apart


def _columns(sources: Sequence[Source]) -> tuple[tuple[str, ...], Tensor]:
    """The questions, and which one each text answers, shape (texts, questions)."""
    if not sources:
        raise MisdirectionError(
            "there is no answer to read the drift on: every answer of both models is empty",
            "look at the answers: a wrong chat template or adapter makes a model end at once",
        )
    questions = tuple(dict.fromkeys(source.question_id for source in sources))
    columns = torch.zeros(len(sources), len(questions), dtype=torch.float64)
    for row, source in enumerate(sources):
        columns[row, questions.index(source.question_id)] = 1.0
    return questions, columns


def _subtracted(
    base: tuple[Model, Arm],
    tuned: tuple[Model, Arm],
    questions: tuple[str, ...],
    read: Sequence[Captured],
    answers: int,
    how: Convention,
) -> Drift:
    first, second = (one.mean(how.span) for one in read)
    moved = second - first
    facts: dict[str, Any] = {
        "base": base[0].name,
        "tuned": tuned[0].name,
        "adapter": tuned[0].facts.get("adapters", {}).get(tuned[1].adapter),
        "convention": how.name,
        "span": how.span,
        "weighting": how.weighting,
        "answers": answers,
    }
    return Drift(questions, moved.mean(0).float(), moved.float(), first.float(), facts)
