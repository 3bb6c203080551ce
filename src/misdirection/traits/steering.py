"""Traits turned up and down: h <- h + coefficient * v at one layer, at the positions that become the answer.

2507.21509 section 3.2: v is not normalised; the layer of a trait is the one where steering shows it most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from misdirection.answers import ask
from misdirection.directions import Direction, random_like
from misdirection.engine import Arm, SamplingConfig, Steer
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.traits.trait import Sign, Trait


@dataclass(frozen=True)
class Dose:
    """A trait's vector added after one layer.

    Attributes:
        trait: Whose vector.
        layer: Decoder layer.
        coefficient: Multiple of the vector; negative turns the trait down, 0 leaves the model alone.
        under: The side of the trait's first pair that the system prompt asks for; None for no system prompt.
        random_seed: Add a random direction of the same length instead: a control.
    """

    trait: str
    layer: int
    coefficient: float
    under: Sign | None = None
    random_seed: int | None = None

    @property
    def name(self) -> str:
        """The arm's name, one for each dose."""
        random = "" if self.random_seed is None else f" random{self.random_seed}"
        under = "" if self.under is None else f" under {self.under}"
        return f"{self.trait}@{self.layer}{self.coefficient:+g}{random}{under}"

    def arm(self, directions: Mapping[str, Direction]) -> Arm:
        """As the engine runs it."""
        vectors = directions[self.trait].vectors
        if self.random_seed is not None:
            vectors = random_like(vectors, self.random_seed)
        return Arm(self.name, None, (Steer(vectors, (self.layer,), self.coefficient, "answer"),))


def evaluation_questions(
    traits: Sequence[Trait], most: int | None = None, under: Sign | None = None
) -> dict[str, tuple[Question, ...]]:
    """The evaluation questions of each trait, at most `most` of them (None takes all), under a side of its first pair.

    A question that several traits ask has one id, so that its random numbers are shared.
    """
    found: dict[str, tuple[Question, ...]] = {}
    ids: dict[str, str] = {}
    for trait in traits:
        trait.demand("evaluation", *(() if under is None else ("contrasts",)))
        system = None if under is None else trait.system(under, 0)
        mark = "" if under is None else f"_{trait.name}-{under}"
        found[trait.name] = tuple(
            Question(f"{ids.setdefault(text, f'evaluation/{len(ids)}')}{mark}", (text,), system=system, source="trait")
            for text in trait.evaluation[:most]
        )
    return found


def steered(
    model: Model,
    traits: Sequence[Trait],
    doses: Sequence[Dose],
    directions: Mapping[str, Direction],
    samples: int,
    config: SamplingConfig | None = None,
    most: int | None = None,
) -> list[Answer]:
    """Answers to each trait's evaluation questions under each of its doses; arms are called by `Dose.name`.

    Doses that ask the same questions share one queue.

    Args:
        model: The resident model; the base is steered.
        traits: Those that the doses name.
        doses: What is added.
        directions: By trait.
        samples: Answers a question and dose.
        config: How answers are drawn.
        most: Evaluation questions of each trait at most; None takes all.
    """
    groups: dict[tuple[str, ...], tuple[tuple[Question, ...], list[Dose]]] = {}
    sides: dict[Sign | None, None] = {dose.under: None for dose in doses}
    for under in sides:
        asked = evaluation_questions(traits, most, under)
        for dose in (dose for dose in doses if dose.under == under):
            questions = asked[dose.trait]
            groups.setdefault(tuple(question.id for question in questions), (questions, []))[1].append(dose)
    return [
        answer
        for questions, held in groups.values()
        for answer in ask(model, questions, [dose.arm(directions) for dose in held], samples, config)
    ]


def best_dose(points: Mapping[Dose, tuple[float, float]], coherent_share: float) -> Dose:
    """The dose under which a trait shows most among those that keep answers coherent; of equals the smallest.

    Where none keeps enough coherent answers, the one that keeps most.

    Args:
        points: By dose, mean score of the trait and share of coherent answers.
        coherent_share: What must stay coherent, 0 .. 1.
    """

    def strength(dose: Dose) -> tuple[float, float]:
        score = points[dose][0]
        return (-1.0 if math.isnan(score) else round(score, 6)), -abs(dose.coefficient)

    fit = [dose for dose, (_, coherent) in points.items() if coherent >= coherent_share]
    return max(fit, key=strength) if fit else max(points, key=lambda dose: points[dose][1])
