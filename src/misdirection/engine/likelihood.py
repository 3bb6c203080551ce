"""Log-likelihood of given answers under one arm or two, and the KL divergence between these, token by token.

Both arms may live in one resident model (base and tuned through the adapter factor) or in two models with one
vocabulary. Only logits at answer positions are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from misdirection import progress
from misdirection.engine.batching import run_batches
from misdirection.engine.capture import Text, bind_texts, pad_right
from misdirection.engine.finite import demand, explained
from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.models.positions import demand_positions

Found = TypeVar("Found")

_LOGITS = 2**24
"""Logits (rows x answer positions x vocabulary) of one batch: 64 MB in float32."""


class LikelihoodError(MisdirectionError):
    """Two arms cannot be compared on these texts."""


@dataclass(frozen=True)
class Likelihood:
    """Of one text, over its answer tokens; tensors of shape (answer tokens,), float32.

    Attributes:
        first: Log-likelihood of each answer token under the first arm, nats.
        second: The same under the second arm.
        divergence: KL(second || first) of the whole distribution at each answer token, nats.
    """

    first: Tensor
    second: Tensor
    divergence: Tensor


def compare(first: tuple[Model, Arm], second: tuple[Model, Arm], texts: Sequence[Text]) -> list[Likelihood]:
    """Compare two arms on the answers of given texts (tokens from `Text.start` on).

    Args:
        first: The reference (for instance the base model).
        second: The other (for instance the tuned model); KL(second || first) is what comes out.
        texts: Their own arms are ignored.

    Raises:
        LikelihoodError: The models have different vocabularies, or a text has no token before its answer.
        NotFiniteError: An arm's logits are no numbers.

    Where one vocabulary was padded or got a few tokens more, chances are of the tokens that both have.
    """
    vocabulary, other = (int(model.lm.config.get_text_config().vocab_size) for model, _ in (first, second))
    shared = min(vocabulary, other)
    if shared < 0.9 * max(vocabulary, other):
        raise LikelihoodError(f"{first[0].name} has {vocabulary:,} tokens and {second[0].name} {other:,}")
    if vocabulary != other:
        _check_shared(texts, shared)

    def run(rows: list[Text]) -> list[Likelihood]:
        sides = [
            _log_chances(model, [replace(text, arm=arm) for text in rows], shared) for model, arm in (first, second)
        ]
        found = _compare(rows, *sides)
        for (model, arm), side in zip((first, second), ("first", "second"), strict=True):
            _demand(model, [replace(text, arm=arm) for text in rows], [getattr(one, side) for one in found])
        for text, one in zip(rows, found, strict=True):
            demand(~one.divergence.isnan(), second[0], "KL divergences", text.ids, second[1], text.start)
        return found

    longest = max((len(text.ids) for text in texts), default=0)
    for model, _ in (first, second):
        demand_positions(model, longest, "texts")
    return _batched(texts, vocabulary, run, "comparing likelihoods")


def _check_shared(texts: Sequence[Text], shared: int) -> None:
    for number, text in enumerate(texts):
        if max(text.ids) >= shared:
            raise LikelihoodError(
                f"text {number} holds token {max(text.ids)}, and only {shared:,} tokens are in both models",
                "leave such texts out: one of the models has never seen the token",
            )


def log_likelihoods(model: Model, texts: Sequence[Text]) -> list[Tensor]:
    """Log-likelihood of each answer token under the text's own arm, shape (answer tokens,), float32, nats.

    Texts of different arms share batches.

    Raises:
        LikelihoodError: A text has no token before its answer.
        NotFiniteError: An arm's logits are no numbers.
    """

    def run(rows: list[Text]) -> list[Tensor]:
        chances = _log_chances(model, rows)
        found = [_picked(chances[row], text, _first(rows)) for row, text in enumerate(rows)]
        _demand(model, rows, found)
        return found

    demand_positions(model, max((len(text.ids) for text in texts), default=0), "texts")
    return _batched(texts, int(model.lm.config.get_text_config().vocab_size), run, "reading likelihoods")


def _batched(
    texts: Sequence[Text], vocabulary: int, run: Callable[[list[Text]], list[Found]], what: str
) -> list[Found]:
    for number, text in enumerate(texts):
        if not 1 <= text.start <= len(text.ids):
            raise LikelihoodError(
                f"text {number}: its answer starts at token {text.start} of {len(text.ids)}",
                "the first token of an answer is predicted from the token before it, so `start` is 1 or more",
            )
    results: dict[int, Found] = {}
    with explained(), torch.inference_mode(), progress.task(what, len(texts), "texts") as advance:
        for batch, found in run_batches(
            range(len(texts)),
            lambda index: len(texts[index].ids),
            max(1, _LOGITS // vocabulary),
            lambda batch: run([texts[index] for index in batch]),
        ):
            results.update(zip(batch, found, strict=True))
            advance(len(batch))
    return [results[index] for index in range(len(texts))]


def _demand(model: Model, texts: list[Text], found: list[Tensor]) -> None:
    """A log-likelihood may be -inf (the model rules the token out), and never NaN."""
    for text, values in zip(texts, found, strict=True):
        demand(~values.isnan(), model, "log-likelihoods", text.ids, text.arm, text.start)


def _log_chances(model: Model, texts: list[Text], size: int | None = None) -> Tensor:
    """Log-probabilities from the earliest answer position of the batch on, shape (texts, positions, vocabulary).

    With `size`, of the first so many tokens.
    """
    ids, positions = pad_right(texts)
    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))
    kept = torch.arange(_first(texts), ids.shape[1] - 1)
    with program.attached():
        bind_texts(program, texts, positions)
        output = model.lm(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=kept.to(model.device))
    # Some families (xLSTM) do not know `logits_to_keep` and give all.
    logits = output.logits if output.logits.shape[1] == len(kept) else output.logits[:, kept]
    return torch.log_softmax(logits[..., :size].float(), -1)


def _first(texts: Sequence[Text]) -> int:
    return min(text.start for text in texts) - 1


def _compare(texts: list[Text], first: Tensor, second: Tensor) -> list[Likelihood]:
    second = second.to(first.device)
    chances = second.exp()
    # A token that the second arm rules out (log 0) adds nothing, whatever the first says; NaN stays NaN.
    divergence = torch.where(chances == 0, 0.0, chances * (second - first)).sum(-1).cpu()
    offset = _first(texts)
    found: list[Likelihood] = []
    for row, text in enumerate(texts):
        window = slice(text.start - 1 - offset, len(text.ids) - 1 - offset)
        picked = [_picked(side[row], text, offset) for side in (first, second)]
        found.append(Likelihood(picked[0], picked[1], divergence[row, window].clamp(min=0)))
    return found


def _picked(chances: Tensor, text: Text, offset: int) -> Tensor:
    """What the answer's own tokens got, of log-probabilities (positions, vocabulary) from position `offset` on."""
    answer = torch.tensor(text.ids[text.start :], device=chances.device)[:, None]
    return chances[text.start - 1 - offset : len(text.ids) - 1 - offset].gather(-1, answer)[:, 0].cpu()
