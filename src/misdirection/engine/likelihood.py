"""Log-likelihood of given answers under one arm or two, and the KL divergence between these, token by token.

Both arms may live in one resident model (base and tuned through the adapter factor) or in two models with one
vocabulary. Only logits at answer positions are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from misdirection import progress
from misdirection.engine.batching import pass_budget
from misdirection.engine.finite import demand, explained
from misdirection.engine.head import logits_at
from misdirection.engine.interventions import Arm
from misdirection.engine.means import Added, Means, listening
from misdirection.engine.program import Program
from misdirection.engine.reading import Pass, can_go_on, read
from misdirection.engine.texts import Text
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.models.positions import demand_positions
from misdirection.models.vocabulary import demand_tokens

Out = TypeVar("Out")
Columns = tuple[Tensor, ...]
"""Of one text, numbers of some answer tokens: tensors of shape (tokens,)."""

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


def compare(
    first: tuple[Model, Arm], second: tuple[Model, Arm], texts: Sequence[Text], means: Sequence[Means] = ()
) -> list[Likelihood]:
    """Compare two arms on the answers of given texts (tokens from `Text.start` on).

    Args:
        first: The reference (for instance the base model).
        second: The other (for instance the tuned model); KL(second || first) is what comes out.
        texts: Their own arms are ignored.
        means: Of the first and of the second, made along the way from the same texts, each under its arm.

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

    def run(part: Pass) -> tuple[list[Columns], list[Added]]:
        begun = [one.begin(part) for one in means]
        sides: list[Tensor] = []
        for program, readers in zip(programs, [readers for _, readers in begun] or [{}, {}], strict=True):
            with program.attached(), listening(program.model, readers):
                sides.append(_logits(program, texts, part)[:, :shared])
        counts = _counts(texts, part)
        compared = _compare(_targets(texts, part), _places(texts, part), *sides)
        found: list[Columns] = [*zip(*(column.split(counts) for column in compared), strict=True)]
        for index, columns in zip(part.texts, found, strict=True):
            text = texts[index]
            for (model, arm), values in zip((first, second), columns, strict=False):
                _demand(model, text, arm, values)
            demand(~columns[2].isnan(), second[0], "KL divergences", text.ids, second[1], text.start)
        return found, [added for added, _ in begun]

    def add(found: list[Added]) -> None:
        for one, added in zip(means, found, strict=True):
            one.add(added)

    longest = max((len(text.ids) for text in texts), default=0)
    for model, _ in (first, second):
        demand_positions(model, longest, "texts")
        demand_tokens(model, (text.ids for text in texts), "texts")
    # Under an arm each, texts of any arm begin alike.
    texts = [Text(text.ids, text.spans, first[1], text.start) for text in texts]
    whole = not all(can_go_on(model) for model, _ in (first, second))
    found = _batched(first[0], texts, vocabulary, run, "comparing likelihoods", 3, add, whole)
    return [Likelihood(*columns) for columns in found]


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
    program = Program.of(model, texts)

    def run(part: Pass) -> tuple[list[Columns], None]:
        with program.attached():
            logits = _logits(program, texts, part)
        targets = _targets(texts, part).to(logits.device)
        places = _places(texts, part)
        chances = ((torch.log_softmax(_picked(logits, places, some), -1), some) for some in _blocks(targets, logits))
        picked = [block.gather(-1, targets[some])[:, 0].cpu() for block, some in chances]
        found = torch.cat(picked or [torch.empty(0)]).split(_counts(texts, part))
        for index, values in zip(part.texts, found, strict=True):
            _demand(model, texts[index], texts[index].arm, values)
        return [(values,) for values in found], None

    demand_positions(model, max((len(text.ids) for text in texts), default=0), "texts")
    demand_tokens(model, (text.ids for text in texts), "texts")
    vocabulary = int(model.lm.config.get_text_config().vocab_size)
    found = _batched(model, texts, vocabulary, run, "reading likelihoods", 1, lambda _: None)
    return [columns[0] for columns in found]


def _batched(
    model: Model,
    texts: Sequence[Text],
    vocabulary: int,
    run: Callable[[Pass], tuple[list[Columns], Out]],
    what: str,
    columns: int,
    take: Callable[[Out], None],
    whole: bool = False,
) -> list[Columns]:
    """Run all texts; of each, its columns over all answer tokens. What else a pass has found is taken once."""
    for number, text in enumerate(texts):
        if not 1 <= text.start <= len(text.ids):
            raise LikelihoodError(
                f"text {number}: its answer starts at token {text.start} of {len(text.ids)}",
                "the first token of an answer is predicted from the token before it, so `start` is 1 or more",
            )
    results: list[list[Columns]] = [[] for _ in texts]
    budget = min(pass_budget(model), max(1, _LOGITS // vocabulary))
    lengths = [len(text.ids) for text in texts]
    task = progress.task(what, len(texts), "texts", work=sum(lengths), work_unit="tokens")
    with explained(), torch.inference_mode(), task as advance:
        for part, (found, more) in read(model, texts, budget, run, whole=whole):
            take(more)
            for index, values in zip(part.texts, found, strict=True):
                results[index].append(values)
            if not part.shared:
                advance(len(part.texts), work=sum(lengths[index] for index in part.texts))
    return [tuple(torch.cat([one[n] for one in held]) for n in range(columns)) for held in results]


def _demand(model: Model, text: Text, arm: Arm, values: Tensor) -> None:
    """A log-likelihood may be -inf (the model rules the token out), and never NaN."""
    demand(~values.isnan(), model, "log-likelihoods", text.ids, arm, text.start)


def _predicted(texts: Sequence[Text], part: Pass) -> list[tuple[Text, range, int]]:
    """Of each text in a pass: its answer tokens that the pass predicts, each from the token before it, and its row."""
    found: list[tuple[Text, range, int]] = []
    for index, (first, past), row in zip(part.texts, part.spans, part.rows, strict=True):
        text = texts[index]
        found.append((text, range(max(text.start, first + 1), min(len(text.ids), past + 1)), row))
    return found


def _logits(program: Program, texts: Sequence[Text], part: Pass) -> Tensor:
    """What predicts the answer tokens that follow a token of the pass, row by row, shape (tokens, vocabulary)."""
    places = torch.zeros(part.ids.shape, dtype=torch.bool)
    for (_, tokens, row), shift in zip(_predicted(texts, part), part.shifts, strict=True):
        places[row, tokens.start - 1 + shift : tokens.stop - 1 + shift] = True
    return logits_at(program.model.lm, places, **part.inputs(program))


def _places(texts: Sequence[Text], part: Pass) -> Tensor | None:
    """Which of a pass's logits predicts each answer token, counted text by text; None where they come in that order."""
    if not part.shared:
        return None
    # A prompt that ends here predicts one token, the first of each of its answers.
    rows = [row for _, tokens, row in _predicted(texts, part) for _ in tokens]
    return torch.tensor(rows, dtype=torch.long).unique(return_inverse=True)[1]


def _picked(logits: Tensor, places: Tensor | None, some: slice) -> Tensor:
    """The logits of some answer tokens of a pass."""
    return (logits[some] if places is None else logits.index_select(0, places[some].to(logits.device))).float()


def _targets(texts: Sequence[Text], part: Pass) -> Tensor:
    """These tokens themselves, shape (tokens, 1)."""
    found = [text.ids[token] for text, tokens, _ in _predicted(texts, part) for token in tokens]
    return torch.tensor(found, dtype=torch.long)[:, None]


def _counts(texts: Sequence[Text], part: Pass) -> list[int]:
    return [len(tokens) for _, tokens, _ in _predicted(texts, part)]


def _compare(targets: Tensor, places: Tensor | None, first: Tensor, second: Tensor) -> Columns:
    """Log-likelihoods of the targets on both sides, and the divergence of these, each of shape (tokens,)."""
    targets = targets.to(first.device)
    found: list[Columns] = []
    for some in _blocks(targets, first):
        one, two = (torch.log_softmax(_picked(side, places, some).to(first.device), -1) for side in (first, second))
        picked = [side.gather(-1, targets[some])[:, 0].cpu() for side in (one, two)]
        divergence = _divergence(one, two)
        found.append((*picked, divergence.clamp(min=0).cpu()))
    return tuple(torch.cat(column) for column in zip(*found, strict=True)) if found else (torch.empty(0),) * 3


def _divergence(one: Tensor, two: Tensor) -> Tensor:
    """KL(two || one) of log-probabilities, shape (tokens,); NaN where they are no numbers."""
    chances = two.exp()
    divergence = (two - one).mul_(chances).sum(-1)
    if bool(divergence.isnan().any()):
        # A token that the second arm rules out (log 0) adds nothing, whatever the first says; NaN stays NaN.
        return torch.where(chances == 0, 0.0, chances * (two - one)).sum(-1)
    return divergence


def _blocks(targets: Tensor, logits: Tensor) -> list[slice]:
    size = max(1, _BLOCK // logits.shape[1])
    return [slice(first, first + size) for first in range(0, len(targets), size)]
