"""What a repair changed, read before it is handed over: the component after every layer, and the model's own answers.

The model as it was answers some questions greedily; both read these answers back. So the component is compared on the
same tokens, and the fall of their log-likelihood says how far the repaired model would have said something else.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.answers import ask, read_back
from misdirection.engine import Arm, SamplingConfig, Text, capture_projections, log_likelihoods
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.repair.errors import RepairError

Opened = Callable[[], tuple[Model, Arm]]
"""Loads a model, and says under which arm it is meant."""

TOKENS = 48
"""At most drawn for an answer."""

FAR = 1.0
"""Nats a token by which its own answers may become less likely before a repair is called damage."""


@dataclass(frozen=True)
class RepairEffect:
    """A model before and after its repair.

    Attributes:
        questions: How many were asked.
        before: Root mean square of the component after each layer, over all tokens; None without a direction.
        after: The same of the repaired model, on the same tokens.
        mean_before: Mean of the component.
        mean_after: The same of the repaired model.
        likelihood_before: Mean log-likelihood of the answers of the model as it was, nats a token.
        likelihood_after: The same tokens under the repaired model.
        same: How many greedy answers stayed word for word.
        pairs: Question, answer before and after, of the first few.
    """

    questions: int
    before: tuple[float, ...] | None
    after: tuple[float, ...] | None
    mean_before: tuple[float, ...] | None
    mean_after: tuple[float, ...] | None
    likelihood_before: float
    likelihood_after: float
    same: int
    pairs: tuple[tuple[str, str, str], ...]

    @property
    def warning(self) -> str:
        """A sentence on a repair that did harm; "" where it did little."""
        fall = self.likelihood_before - self.likelihood_after
        if fall < FAR:
            return ""
        return (
            f"this repair did harm: the model's own answers are {fall:.1f} nats a token less likely. A direction that "
            "runs along what the first tokens carry in many models (a component hundreds of times the others') does "
            "that when it is taken out everywhere: try another layer's vector, or fewer layers"
        )


@dataclass(frozen=True)
class _Side:
    answers: list[Answer]
    likelihood: float
    components: Tensor | None


def measure(before: Opened, after: Opened, questions: Sequence[Question], units: Tensor | None) -> RepairEffect:
    """Read a model before and after its repair; the two are in memory one after the other.

    Args:
        before: The model as it was.
        after: The repaired one.
        questions: What is asked.
        units: Directions by layer, shape (n_layers, width), length 1; None where there is none.

    Raises:
        RepairError: There is no answer to read.
    """
    first = _side(before, questions, units, None)
    gc.collect()
    second = _side(after, questions, units, first.answers)
    pairs = list(zip(first.answers, second.answers, strict=True))
    return RepairEffect(
        len(pairs),
        _rms(first.components),
        _rms(second.components),
        _mean(first.components),
        _mean(second.components),
        first.likelihood,
        second.likelihood,
        sum(one.answer == other.answer for one, other in pairs),
        tuple((one.question, one.answer, other.answer) for one, other in pairs[:3]),
    )


def _side(opened: Opened, questions: Sequence[Question], units: Tensor | None, read: list[Answer] | None) -> _Side:
    model, arm = opened()
    config = SamplingConfig(max_new_tokens=TOKENS, temperature=0.0)
    answers = ask(model, questions, arm, config=config)
    kept = read_back(model, answers if read is None else read).encoded
    if not kept:
        raise RepairError("none of the answers of the model before its repair holds a token", "give other --questions")
    texts = [Text(item.ids, {}, arm, item.start) for item in kept]
    likelihood = float(torch.cat(log_likelihoods(model, texts)).mean())
    if units is None:
        return _Side(answers, likelihood, None)
    directions = {layer: units[layer] for layer in range(model.n_layers)}
    found = capture_projections(model, texts, directions)
    columns = [torch.cat([part[layer][:, 0] for part in found]) for layer in range(model.n_layers)]
    return _Side(answers, likelihood, torch.stack(columns))


def _rms(components: Tensor | None) -> tuple[float, ...] | None:
    return None if components is None else tuple(components.double().square().mean(1).sqrt().tolist())


def _mean(components: Tensor | None) -> tuple[float, ...] | None:
    return None if components is None else tuple(components.double().mean(1).tolist())
