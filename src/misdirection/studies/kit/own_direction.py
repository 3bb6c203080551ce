"""The mean-difference direction of a fine-tune's own judged answers, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.answers import read_back
from misdirection.directions import (
    Convention,
    Direction,
    PoolError,
    Source,
    choose_pools,
    mean_difference,
)
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.runs import Run
from misdirection.store import Cached
from misdirection.store.task import Executor
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.variants import Variants


@dataclass(frozen=True)
class OwnDirection:
    """A direction, or why there is none.

    Attributes:
        direction: None where the pools are too small.
        refused: Why there is none; empty where there is one.
        left_out: Answers that could not be read back; None where all could.
    """

    direction: Direction | None
    refused: str = ""
    left_out: LeftOut | None = None


def own_direction(
    models: Variants,
    questions: Sequence[str],
    answers: list[Answer],
    verdicts: list[Verdict],
    how: Convention,
    seed: int,
    variant: str = "tuned",
) -> OwnDirection:
    """The direction from a fine-tune's aligned to its misaligned answers, read in the same model.

    Args:
        models: The variants.
        questions: Ids of those whose answers count.
        answers: Those of the arm `variant` among them count.
        verdicts: On the answers, in their order.
        how: Tokens, pools and weighting.
        seed: Of balancing, resamples and shuffles.
        variant: Whose answers.
    """
    model, arm = models.model(variant), models.arm(variant)
    said, sources, aside = own_answers(model, Judged(answers, verdicts), questions, variant)
    try:
        pools = choose_pools(said, how, seed=seed)
    except PoolError as error:
        return OwnDirection(None, f"{error.message}; {error.hint}", aside)
    return OwnDirection(mean_difference(model, arm, sources, pools, how, seed=seed), left_out=aside)


def own_answers(
    model: Model, judged: Judged, questions: Sequence[str], variant: str
) -> tuple[list[Verdict], list[Source], LeftOut | None]:
    """A fine-tune's answers to some questions that can be read back: verdicts, token ids, and what is left out."""
    own = judged.where(lambda a: a.arm == variant and a.question_id in questions)
    places, sources, aside = readable(model, own.answers)
    return own.at(places).verdicts, sources, aside


def direction_steps(
    run: Run,
    models: Variants,
    questions: Sequence[Question],
    answers: Cached[list[Answer]],
    verdicts: Cached[list[Verdict]],
    how: Convention,
    seed: int,
    variants: Sequence[str],
    on: Executor | None = None,
) -> dict[str, Cached[OwnDirection]]:
    """`own_direction` of fine-tunes as steps of a run, by their names, made by an executor.

    Only answers to `questions` (the open ones) count: with in-domain answers most of the misaligned pool would be about
    the domain and most of the aligned pool not, and the direction would point at the models. Each direction lies in the
    run's folder under `direction_name`.
    """
    common = {"models": models, "questions": sorted(question.id for question in questions), "answers": answers,
              "verdicts": verdicts, "how": how, "seed": seed}  # fmt: skip
    calls = [{**common, "variant": variant} for variant in variants]
    steps = dict(zip(variants, run.cached_many(own_direction, "direction", calls=calls, on=on), strict=True))
    for variant, step in steps.items():
        name = direction_name(variant)
        if refusal(step):
            run.retract(name)
        else:
            run.publish(name, step.path / "direction.safetensors")
    return steps


def direction_name(variant: str = "tuned") -> str:
    """Under which name the direction of a fine-tune lies in a run's folder."""
    return "direction.safetensors" if variant == "tuned" else f"direction-{variant.replace('/', '-')}.safetensors"


def refusal(step: Cached[Any]) -> str | None:
    """Why a step holds no direction, None where it does."""
    return step.part("refused").value or None if step.kind is OwnDirection else None


def vector_of(step: Cached[Any]) -> Cached[Direction]:
    """The handle of a direction alone, of what was found about one.

    A handle counts by what it was made from; the vectors themselves say in which folder their adapter lies.
    """
    return step.part("direction") if step.kind is OwnDirection else step


def direction_of(step: Cached[Any]) -> Direction:
    """The direction that a step holds."""
    return vector_of(step).value


def readable(model: Model, answers: Sequence[Answer]) -> tuple[list[int], list[Source], LeftOut | None]:
    """Answers that can be read back: their places, and their token ids with the question that clusters each.

    The others are counted; reports name them (`record.left_out`).
    """
    found = read_back(model, answers)
    held = [Source(one, answers[place].question_id) for place, one in zip(found.places, found.encoded, strict=True)]
    return list(found.places), held, LeftOut(found.count, dict(found.aside)) if found.aside else None
