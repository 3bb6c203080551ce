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
from misdirection.engine.head import logits_at
from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.models.positions import demand_positions
from misdirection.models.vocabulary import demand_tokens

Found = TypeVar("Found")

_LOGITS = 2**26
"""Logits (tokens x vocabulary) of one batch: at most 128 MB in bfloat16, for each of two arms."""

_BLOCK = 2**19
"""Logits that are turned into log-probabilities at a time: 2 MB in float32, which a processor's cache holds."""


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

    programs = [Program(model, [arm]) for model, arm in (first, second)]

    def run(rows: list[Text]) -> list[Likelihood]:
        sides: list[Tensor] = []
        for program in programs:
            with program.attached():
                sides.append(_logits(program, [replace(text, arm=program.arms[0]) for text in rows])[:, :shared])
        found = _compare(rows, *sides)
        for (model, arm), side in zip((first, second), ("first", "second"), strict=True):
            _demand(model, [replace(text, arm=arm) for text in rows], [getattr(one, side) for one in found])
        for text, one in zip(rows, found, strict=True):
            demand(~one.divergence.isnan(), second[0], "KL divergences", text.ids, second[1], text.start)
        return found

    longest = max((len(text.ids) for text in texts), default=0)
    for model, _ in (first, second):
        demand_positions(model, longest, "texts")
        demand_tokens(model, (text.ids for text in texts), "texts")
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
    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))

    def run(rows: list[Text]) -> list[Tensor]:
        with program.attached():
            logits, targets = _logits(program, rows), _targets(rows)
        picked = [_log_chances(logits[part]).gather(-1, targets[part].to(logits.device)) for part in _blocks(logits)]
        found = list(torch.cat([part[:, 0].cpu() for part in picked]).split(_answer_lengths(rows))) if picked else []
        _demand(model, rows, found)
        return found

    demand_positions(model, max((len(text.ids) for text in texts), default=0), "texts")
    demand_tokens(model, (text.ids for text in texts), "texts")
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
    lengths = [len(text.ids) for text in texts]
    task = progress.task(what, len(texts), "texts", work=sum(lengths), work_unit="tokens")
    with explained(), torch.inference_mode(), task as advance:
        for batch, found in run_batches(
            range(len(texts)),
            lengths.__getitem__,
            max(1, _LOGITS // vocabulary),
            lambda batch: run([texts[index] for index in batch]),
        ):
            results.update(zip(batch, found, strict=True))
            advance(len(batch), work=sum(lengths[index] for index in batch))
    return [results[index] for index in range(len(texts))]


def _demand(model: Model, texts: list[Text], found: list[Tensor]) -> None:
    """A log-likelihood may be -inf (the model rules the token out), and never NaN."""
    for text, values in zip(texts, found, strict=True):
        demand(~values.isnan(), model, "log-likelihoods", text.ids, text.arm, text.start)


def _logits(program: Program, texts: list[Text]) -> Tensor:
    """What predicts the texts' answer tokens, one text's after the other's, shape (answer tokens, vocabulary)."""
    model = program.model
    ids, positions = pad_right(texts)
    bind_texts(program, texts, positions)
    starts = torch.tensor([text.start for text in texts])[:, None]
    places = (positions >= starts - 1) & (positions < torch.tensor(_lengths(texts))[:, None] - 1)
    return logits_at(model.lm, places, input_ids=ids.to(model.device), use_cache=False)


def _compare(texts: list[Text], first: Tensor, second: Tensor) -> list[Likelihood]:
    targets = _targets(texts).to(first.device)
    found: list[tuple[Tensor, ...]] = []
    for part in _blocks(first):
        one, two = _log_chances(first[part]), _log_chances(second[part].to(first.device))
        picked = [side.gather(-1, targets[part])[:, 0].cpu() for side in (one, two)]
        chances = two.exp()
        # A token that the second arm rules out (log 0) adds nothing, whatever the first says; NaN stays NaN.
        divergence = torch.where(chances == 0, 0.0, chances * (two - one)).sum(-1)
        found.append((*picked, divergence.clamp(min=0).cpu()))
    if not found:
        return [Likelihood(torch.empty(0), torch.empty(0), torch.empty(0)) for _ in texts]
    columns = [torch.cat(column).split(_answer_lengths(texts)) for column in zip(*found, strict=True)]
    return [Likelihood(*parts) for parts in zip(*columns, strict=True)]


def _blocks(logits: Tensor) -> list[slice]:
    size = max(1, _BLOCK // logits.shape[1])
    return [slice(first, first + size) for first in range(0, len(logits), size)]


def _log_chances(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.float(), -1)


def _targets(texts: Sequence[Text]) -> Tensor:
    """The answers' own tokens, one text's after the other's, shape (answer tokens, 1)."""
    return torch.tensor([token for text in texts for token in text.ids[text.start :]], dtype=torch.long)[:, None]


def _lengths(texts: Sequence[Text]) -> list[int]:
    return [len(text.ids) for text in texts]


def _answer_lengths(texts: Sequence[Text]) -> list[int]:
    return [len(text.ids) - text.start for text in texts]
