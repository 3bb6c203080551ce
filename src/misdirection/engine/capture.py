"""Means, projections and LoRA scalars of given texts, in one pass that stops at the last layer asked for.

Texts are padded on the right: with causal attention no real token sees the padding, so no mask is needed. Each
layer's output is reduced inside its hook to one sum per row and span (float32 within a row, float64 across rows) and
forgotten; nothing of shape (layers, batch, sequence, width) ever exists, and neither the remaining layers nor the LM
head run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor

from misdirection import progress
from misdirection.engine.batching import pass_budget
from misdirection.engine.finite import explained
from misdirection.engine.means import Added, Captured, Means, Weighting, demand_texts, listening, reader
from misdirection.engine.program import Program
from misdirection.engine.reading import Pass, read
from misdirection.engine.texts import Text
from misdirection.errors import MisdirectionError
from misdirection.models import Model, layer_of
from misdirection.models.positions import demand_positions
from misdirection.models.stream import check_stream
from misdirection.models.vocabulary import demand_tokens

Out = TypeVar("Out")


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
    _check_spans(texts, tuple(texts[0].spans) if texts else (), weights)
    means = Means(model, texts, weights, layers, weighting)

    def run(part: Pass) -> Added:
        found, readers = means.begin(part)
        _pass(program, part, readers or {layers[-1]: _ignore})
        return found

    program = Program.of(model, texts)
    _passes(program, texts, run, lambda _, found: means.add(found), budget, "reading activations")
    return means.captured


def capture_projections(
    model: Model,
    texts: Sequence[Text],
    directions: Mapping[int, Tensor],
    *,
    budget: int | None = None,
    quiet: bool = False,
) -> list[dict[int, Tensor]]:
    """Projection of every token on directions: v^T x, not normalised (pass unit vectors for the component).

    Args:
        model: The resident model.
        texts: What to read.
        directions: By layer, shape (directions, width) or (width,).
        budget: Tokens a batch may hold.
        quiet: Tell no progress: the caller does.

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
                demand_texts(model, [texts[index]], [some.isfinite()])

        _pass(program, part, {layer: reader(project, layer) for layer in directions})

    program = Program.of(model, texts)
    _passes(program, texts, run, lambda *_: None, budget, "" if quiet else "projecting")
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
                demand_texts(model, [texts[index]], [some.isfinite()], "scalars of the adapter")

        program.observe = observe
        _pass(program, part, {last: _ignore})

    program = Program.of(model, texts)
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
                demand_texts(model, [texts[index]], [held[-1].isfinite()])

        _pass(program, part, {layer: _ignore if part.shared else hold})
        return held

    def hand_on(part: Pass, held: list[Tensor]) -> None:
        if not part.shared:
            visit(part.texts, held)

    program = Program.of(model, texts)
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
    work = progress.task(what, len(texts), "texts", work=sum(lengths), work_unit="tokens") if what else _untold()
    with explained(), torch.inference_mode(), program.attached(), work as advance:
        for part, result in read(model, texts, budget or pass_budget(model), run, whole=whole):
            take(part, result)
            if not part.shared:
                advance(len(part.texts), work=sum(lengths[index] for index in part.texts))


def _untold() -> AbstractContextManager[Callable[..., None]]:
    return nullcontext(lambda *_, **__: None)


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

    def enough(*_: object) -> None:
        raise _EnoughError

    with listening(model, readers):
        # Hooks run in the order in which they came.
        handle = model.layers[last].register_forward_hook(enough)
        try:
            model.decoder(**inputs)
        except _EnoughError:
            pass
        finally:
            handle.remove()


def _ignore(_: Tensor) -> None:
    pass
