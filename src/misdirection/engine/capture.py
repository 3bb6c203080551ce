"""Means, projections and LoRA scalars of given texts, in one pass that stops at the last layer asked for.

Texts are padded on the right: with causal attention no real token sees the padding, so no mask is needed. Each
layer's output is reduced inside its hook to one sum per row and span (float32 within a row, float64 across rows) and
forgotten; nothing of shape (layers, batch, sequence, width) ever exists, and neither the remaining layers nor the LM
head run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from misdirection import progress
from misdirection.engine.batching import pass_budget
from misdirection.engine.finite import demand, explained
from misdirection.engine.program import Program
from misdirection.engine.reading import Pass, read
from misdirection.engine.texts import Text
from misdirection.errors import MisdirectionError
from misdirection.models import Model, layer_of
from misdirection.models.positions import demand_positions
from misdirection.models.stream import check_stream, residual
from misdirection.models.vocabulary import demand_tokens

Weighting = Literal["token", "response"]
Out = TypeVar("Out")


@dataclass(frozen=True)
class Captured:
    """Weighted sums of the residual stream after each layer.

    Attributes:
        spans: Names of the spans, axis 1 of the tensors.
        layers: Layer numbers, axis 2 of `sums`.
        sums: Shape (classes, spans, layers, width), float64.
        counts: What the sums are divided by for a mean: tokens, or responses; shape (classes, spans), float64.
        weighting: "token" counts every token alike (2506.11618), "response" every text (2507.21509).
    """

    spans: tuple[str, ...]
    layers: tuple[int, ...]
    sums: Tensor
    counts: Tensor
    weighting: Weighting

    def mean(self, span: str) -> Tensor:
        """Mean residual stream of each class, (classes, layers, width), float64; NaN where nothing was counted."""
        place = self.spans.index(span)
        return self.sums[:, place] / self.counts[:, place, None, None]


class CaptureError(MisdirectionError):
    """What is asked for cannot be read."""


class _EnoughError(Exception):
    """Raised in a hook once the last layer has been read, to leave the forward pass."""


def capture_means(
    model: Model,
    texts: Sequence[Text],
    weights: Tensor,
    *,
    layers: Sequence[int] | None = None,
    weighting: Weighting = "token",
    budget: int | None = None,
) -> Captured:
    """Class means of the residual stream at every layer, in one pass over the texts.

    Args:
        model: The resident model.
        texts: With the same span names in each.
        weights: Shape (texts, classes): how much each text counts in each class. Several labelings at once (shuffled
            labels, bootstrap resamples) are further columns and cost next to nothing.
        layers: All by default.
        weighting: See `Captured`.
        budget: Tokens a batch may hold.

    Raises:
        CaptureError: A layer is beyond the model, a span beyond its text, or a span or weight is missing.
        NotFiniteError: A state inside a span is NaN or infinite.
    """
    layers = tuple(range(model.n_layers)) if layers is None else tuple(sorted(set(layers)))
    _check_layers(model, layers)
    spans = tuple(texts[0].spans) if texts else ()
    _check_spans(texts, spans, weights)
    weights = weights.double()
    sums = torch.zeros(weights.shape[1], len(spans), len(layers), model.width, dtype=torch.float64)
    counts = torch.zeros(weights.shape[1], len(spans), dtype=torch.float64)

    def run(part: Pass) -> tuple[Tensor, Tensor]:
        rows = [texts[index] for index in part.texts]
        pick = _span_weights(part, rows, spans, weighting)
        share = weights[part.texts]
        counted = (pick != 0).any(1)[..., None]
        held = torch.zeros(len(layers), weights.shape[1], len(spans), model.width, dtype=torch.float64)
        many = torch.tensor(part.rows) if part.prompts else None

        def take(place: int, x: Tensor) -> None:
            x = x if many is None else x.index_select(0, many.to(x.device))
            inside = torch.bmm(pick.to(x.device), x.float())
            if not bool(inside.isfinite().all()):
                # Padding and tokens of no span do not count, and 0 times what is no number is none.
                inside = torch.bmm(pick.to(x.device), x.float().masked_fill(~counted.to(x.device), 0.0))
                _demand(model, rows, [inside[row].isfinite() for row in range(len(rows))])
            held[place] = torch.einsum("bc,bsd->csd", share.to(x.device), inside.double()).cpu()

        if bool(pick.any()) or not part.prompts:
            _pass(program, part, {layer: _reader(take, place) for place, layer in enumerate(layers)})
        else:
            _pass(program, part, {layers[-1]: _ignore})
        return held.permute(1, 2, 0, 3), share.T @ pick.sum(-1).double()

    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))

    def add(_: Pass, found: tuple[Tensor, Tensor]) -> None:
        sums.add_(found[0])
        counts.add_(found[1])

    _passes(program, texts, run, add, budget, "reading activations")
    return Captured(spans, layers, sums, counts, weighting)


def capture_projections(
    model: Model, texts: Sequence[Text], directions: Mapping[int, Tensor], *, budget: int | None = None
) -> list[dict[int, Tensor]]:
    """Projection of every token on directions: v^T x, not normalised (pass unit vectors for the component).

    Args:
        model: The resident model.
        texts: What to read.
        directions: By layer, shape (directions, width) or (width,).
        budget: Tokens a batch may hold.

    Returns:
        For each text and layer a tensor (tokens, directions), float32.

    Raises:
        CaptureError: A layer is beyond the model, or a direction not finite.
        NotFiniteError: A projection is NaN or infinite.
    """
    _check_layers(model, directions)
    for layer, vectors in directions.items():
        if not bool(vectors.isfinite().all()):
            raise CaptureError(f"the direction at layer {layer} holds numbers that are none (NaN or infinite)")
    matrices = {layer: torch.atleast_2d(vectors).float() for layer, vectors in directions.items()}
    results = [{layer: torch.empty(len(t.ids), len(matrix)) for layer, matrix in matrices.items()} for t in texts]

    def run(part: Pass) -> None:
        def project(layer: int, x: Tensor) -> None:
            values = (x.float() @ matrices[layer].to(x.device).T).cpu()
            for index, span, some in part.of_texts(values):
                results[index][layer][slice(*span)] = some
                _demand(model, [texts[index]], [some.isfinite()])

        _pass(program, part, {layer: _reader(project, layer) for layer in directions})

    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))
    _passes(program, texts, run, lambda *_: None, budget, "projecting")
    return results


def capture_scalars(
    model: Model, texts: Sequence[Text], adapter: str, *, budget: int | None = None
) -> list[dict[str, Tensor]]:
    """The scalars A·x of an adapter at every token (2506.11618 section 4.1), before its scaling.

    Every text must be read under an arm that has the adapter on.

    Returns:
        For each text, by module path, a tensor (tokens, rank), float32.

    Raises:
        CaptureError: A text's arm has another adapter, or none.
        NotFiniteError: A scalar is NaN or infinite.
    """
    results: list[dict[str, Tensor]] = [{} for _ in texts]
    for text in texts:
        if text.arm.adapter != adapter:
            raise CaptureError(
                f"arm '{text.arm.name}' has adapter {text.arm.adapter}, and scalars of {adapter} are asked for"
            )
    # A module outside of the text decoder (a vision tower) may have a higher number; it does not run.
    last = min(max((layer_of(path) or 0 for path in model.lora.get(adapter, ())), default=0), model.n_layers - 1)

    def run(part: Pass) -> None:
        def observe(path: str, values: Tensor) -> None:
            for index, span, some in part.of_texts(values.float().cpu()):
                held = results[index].setdefault(path, torch.empty(len(texts[index].ids), some.shape[-1]))
                held[slice(*span)] = some
                _demand(model, [texts[index]], [some.isfinite()], "scalars of the adapter")

        program.observe = observe
        _pass(program, part, {last: _ignore})

    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))
    _passes(program, texts, run, lambda *_: None, budget, "reading adapters")
    return results


def visit_states(
    model: Model,
    texts: Sequence[Text],
    layer: int,
    span: str,
    visit: Callable[[Sequence[int], Sequence[Tensor]], None],
    *,
    budget: int | None = None,
) -> None:
    """Hand the residual stream of a span to a reader, batch by batch; nothing of it is kept.

    Args:
        model: The resident model.
        texts: What to read.
        layer: After which decoder layer.
        span: Whose tokens are handed on.
        visit: Called with the indices of a batch's texts and, for each, its states (tokens, width), on the model's
            device and in its type; once a text, also where a batch had to be run again. It must not keep the states,
            which are views of the batch's.
        budget: Tokens a batch may hold.

    Raises:
        CaptureError: The layer is beyond the model, or the span beyond its text.
        NotFiniteError: A state inside the span is NaN or infinite.
    """
    _check_layers(model, (layer,))
    _check_spans(texts, (span,), torch.zeros(len(texts), 0))

    def run(part: Pass) -> list[Tensor]:
        held: list[Tensor] = []

        def hold(x: Tensor) -> None:
            for index, (begin, _), some in part.of_texts(x):
                first, past = texts[index].spans[span]
                held.append(some[first - begin : past - begin])
                _demand(model, [texts[index]], [held[-1].isfinite()])

        _pass(program, part, {layer: _ignore if part.prompts else hold})
        return held

    def hand_on(part: Pass, held: list[Tensor]) -> None:
        if not part.prompts:
            visit(part.texts, held)

    program = Program(model, list({id(text.arm): text.arm for text in texts}.values()))
    # A span that reaches into the prompt is handed on whole.
    whole = any(first < min(text.start, past) for text in texts for first, past in [text.spans[span]])
    _passes(program, texts, run, hand_on, budget, "reading activations", whole)


def _passes(
    program: Program,
    texts: Sequence[Text],
    run: Callable[[Pass], Out],
    take: Callable[[Pass, Out], None],
    budget: int | None,
    what: str,
    whole: bool = False,
) -> None:
    """Run all texts in passes under the program's hooks.

    `run` may be called again for texts whose pass did not fit in memory; `take` gets each token's result once.
    """
    model = program.model
    demand_positions(model, max((len(text.ids) for text in texts), default=0), "texts")
    demand_tokens(model, (text.ids for text in texts), "texts")
    lengths = [len(text.ids) for text in texts]
    work = progress.task(what, len(texts), "texts", work=sum(lengths), work_unit="tokens")
    with explained(), torch.inference_mode(), program.attached(), work as advance:
        for part, result in read(model, texts, budget or pass_budget(model), run, whole=whole):
            take(part, result)
            if not part.prompts:
                advance(len(part.texts), work=sum(lengths[index] for index in part.texts))


def _demand(model: Model, texts: list[Text], sound: list[Tensor], what: str = "activations") -> None:
    for text, finite in zip(texts, sound, strict=True):
        demand(finite, model, what, text.ids, text.arm, text.start)


def _check_layers(model: Model, layers: Iterable[int]) -> None:
    check_stream(model.lm)
    if not (numbers := list(layers)) or any(not 0 <= layer < model.n_layers for layer in numbers):
        raise CaptureError(f"layers {numbers} cannot be read", f"{model.name} has layers 0..{model.n_layers - 1}")


def _check_spans(texts: Sequence[Text], spans: Sequence[str], weights: Tensor) -> None:
    if weights.ndim != 2 or len(weights) != len(texts):
        raise CaptureError(
            f"weights of shape {tuple(weights.shape)} for {len(texts)} texts", "expected (texts, classes)"
        )
    for number, text in enumerate(texts):
        for name in spans:
            first, past = text.spans.get(name, (-1, -1))
            if not 0 <= first <= past <= len(text.ids):
                raise CaptureError(
                    f"text {number} of {len(text.ids)} tokens has no span '{name}': {text.spans.get(name)}"
                )


def _pass(program: Program, part: Pass, readers: Mapping[int, Callable[[Tensor], None]]) -> None:
    """One forward pass of the decoder, left after the last layer that is read."""
    model, inputs, last = program.model, part.inputs(program), max(readers)

    def hook_of(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            readers[layer](residual(module, output))
            if layer == last:
                raise _EnoughError

        return hook

    handles = [model.layers[layer].register_forward_hook(hook_of(layer)) for layer in readers]
    try:
        model.decoder(**inputs)
    except _EnoughError:
        pass
    finally:
        for handle in handles:
            handle.remove()


def _span_weights(part: Pass, texts: Sequence[Text], spans: Sequence[str], weighting: Weighting) -> Tensor:
    """Weight of each token of a pass in each span, shape (texts, spans, tokens)."""
    pick = torch.zeros(len(texts), len(spans), part.ids.shape[1])
    for number, (text, (begin, end), shift) in enumerate(zip(texts, part.spans, part.shifts, strict=True)):
        for place, name in enumerate(spans):
            first, past = text.spans[name]
            here = slice(max(first, begin) + shift, max(min(past, end), begin) + shift)
            if past > first:
                pick[number, place, here] = 1.0 if weighting == "token" else 1.0 / (past - first)
    return pick


def _reader(read: Callable[[int, Tensor], None], place: int) -> Callable[[Tensor], None]:
    return lambda x: read(place, x)


def _ignore(_: Tensor) -> None:
    pass
