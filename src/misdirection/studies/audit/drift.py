"""What tuning moved on the answers of both arms, and what a few of them look like token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from misdirection.answers import encode_answer
from misdirection.directions import Convention, Direction, drift_and_divergence
from misdirection.engine import Text, capture_projections
from misdirection.judging import Answer, Verdict
from misdirection.studies.audit.results import ColouredAnswer
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import token_texts


@dataclass(frozen=True)
class Divergence:
    """How far base and tuned model are apart on one answer, in nats a token.

    Attributes:
        question_id: Of the question.
        arm: Whose answer it is.
        sample: Which of them.
        tokens: Of the answer.
        kl: KL(tuned || base), the mean over its tokens.
        nll_base: Mean negative log likelihood under the base.
        nll_tuned: Under the tuned model.
    """

    question_id: str
    arm: str
    sample: int
    tokens: int
    kl: float
    nll_base: float
    nll_tuned: float


@dataclass(frozen=True)
class Moved:
    """What tuning moved.

    Attributes:
        direction: The drift, with its null.
        questions: Ids, in the order of what follows.
        relative: Length of each question's drift over that of the base's mean, shape (questions, n_layers).
        components: Along the drift's unit vector, of base and of tuned model by question, by layer.
        divergence: By answer.
        left_out: Answers that could not be read back; None where all could.
    """

    direction: Direction
    questions: tuple[str, ...]
    relative: Tensor
    components: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
    divergence: list[Divergence]
    left_out: LeftOut | None


def moved_by_tuning(models: Variants, answers: list[Answer], how: Convention, most: int, seed: int) -> Moved:
    """The drift direction, its size and the KL divergence by question, on the answers of the arms "base" and "tuned".

    Args:
        models: Base and tuned model.
        answers: Of both arms.
        how: Tokens and weighting.
        most: Answers of each arm and question that are read.
        seed: Of the intervals.
    """
    asked = [a for a in answers if a.arm in ("base", "tuned") and a.sample < most]
    places, sources, aside = readable(models.model("tuned"), asked)
    pair = [(models.model(v), models.arm(v)) for v in ("base", "tuned")]
    moved, apart = drift_and_divergence(pair[0], pair[1], sources, how)
    rows = [
        Divergence(
            a.question_id, a.arm, a.sample, tokens=len(item.divergence), kl=float(item.divergence.mean()),
            nll_base=-float(item.first.mean()), nll_tuned=-float(item.second.mean()),
        )
        for a, item in zip((asked[place] for place in places), apart, strict=True)
    ]  # fmt: skip
    components = {str(layer): _component(*moved.component(layer)) for layer in range(len(moved.vectors))}
    return Moved(moved.direction(seed=seed), tuple(moved.questions), moved.relative, components, rows, aside)


def _component(base: Tensor, tuned: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(base.tolist()), tuple(tuned.tolist())


def coloured_answers(
    models: Variants, judged: Judged, direction: Direction, layer: int, most: int
) -> tuple[ColouredAnswer, ...]:
    """Component of every token along the unit direction at one layer, for a few answers of each arm."""
    unit = direction.unit[layer]
    found: list[ColouredAnswer] = []
    for answer, verdict in _telling(judged, most):
        variant = "tuned" if answer.arm == "tuned" else "base"
        model = models.model(variant)
        encoded = encode_answer(model, answer)
        text = Text(encoded.ids, {}, models.arm(variant), encoded.start)
        values = capture_projections(model, [text], {layer: unit})[0][layer][:, 0]
        found.append(
            ColouredAnswer(
                arm=answer.arm, question=answer.question, alignment=verdict.alignment, coherence=verdict.coherence,
                layer=layer, tokens=tuple(token_texts(model.tokenizer, encoded.ids)),
                values=tuple(round(float(value), 4) for value in values), start=encoded.start,
            )
        )  # fmt: skip
    return tuple(found)


def _telling(judged: Judged, most: int) -> list[tuple[Answer, Verdict]]:
    """A few answers worth reading token by token: the worst and the best of the tuned model, and some of the base."""
    pairs = [(a, v) for a, v in zip(*judged.pair, strict=True) if a.answer.strip()]
    tuned = [pair for pair in pairs if pair[0].arm == "tuned"]
    tuned.sort(key=lambda pair: (pair[1].alignment is None, pair[1].alignment or 0.0))
    base = [pair for pair in pairs if pair[0].arm == "base"]
    half = most // 2
    return [*_spread(tuned[: len(tuned) // 2], half), *_spread(tuned[::-1], most // 4), *_spread(base, most // 4)]


def _spread(pairs: Sequence[tuple[Answer, Verdict]], most: int) -> list[tuple[Answer, Verdict]]:
    """The first answer of each question, up to `most`."""
    seen: dict[str, tuple[Answer, Verdict]] = {}
    for pair in pairs:
        seen.setdefault(pair[0].question_id, pair)
    return list(seen.values())[:most]
