"""Thresholds of capping: how high the base model's own answers reach along each direction that is capped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from misdirection.conditions import Along, vectors_along
from misdirection.directions import Direction
from misdirection.directions.levels import quantile_levels
from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.variants import BASE_VARIANT, Variants


@dataclass(frozen=True)
class Caps:
    """Thresholds in units of the residual stream, one for each layer of the model.

    Attributes:
        quantile: Of the base model's answer tokens, the share that lies below.
        answers: How many were read.
        own: Along each layer's own direction.
        single: Along one layer's at every layer, by that layer.
        random: Along random directions, by seed.
    """

    quantile: float
    answers: int
    own: tuple[float, ...]
    single: Mapping[str, tuple[float, ...]]
    random: Mapping[str, tuple[float, ...]]

    def along(self, single: int | None = None, random_seed: int | None = None) -> tuple[float, ...]:
        """The thresholds of a direction.

        Raises:
            MisdirectionError: They were not measured.
        """
        if random_seed is not None:
            found = self.random.get(str(random_seed))
        else:
            found = self.own if single is None else self.single.get(str(single))
        if found is None:
            raise MisdirectionError("no threshold was measured along this direction", "name its layer or seed")
        return found


def cap_thresholds(
    models: Variants,
    answers: list[Answer],
    questions: Sequence[str],
    direction: Direction,
    singles: tuple[int, ...],
    random_seeds: tuple[int, ...],
    quantile: float,
    most: int,
) -> Caps:
    """A quantile of what the base model's own answers show, along all directions in one pass (2601.10387).

    Args:
        models: The base is read.
        answers: Those of the arm "base" among them count.
        questions: Ids of those whose answers count.
        direction: Each layer's own.
        singles: Layers whose vector is capped at every layer.
        random_seeds: Of random directions of its norm.
        quantile: 0 .. 1.
        most: Answers a question that are read.

    Raises:
        DirectionError: The base gave no answer that can be read.
    """
    own = [a for a in answers if a.arm == BASE_VARIANT and a.question_id in questions and a.sample < most]
    model = models.base_model
    texts = [Text(one.encoded.ids, {}, Arm(BASE_VARIANT), one.encoded.start) for one in readable(model, own)[1]]
    vectors: dict[str, Tensor] = {"own": direction.vectors}
    vectors |= {f"single {layer}": vectors_along(Along("project", single=layer), direction) for layer in singles}
    vectors |= {f"random {n}": vectors_along(Along("project", random_seed=n), direction) for n in random_seeds}
    found = {name: tuple(one.tolist()) for name, one in quantile_levels(model, texts, vectors, quantile).items()}
    return Caps(
        quantile=quantile,
        answers=len(texts),
        own=found["own"],
        single={str(layer): found[f"single {layer}"] for layer in singles},
        random={str(seed): found[f"random {seed}"] for seed in random_seeds},
    )
