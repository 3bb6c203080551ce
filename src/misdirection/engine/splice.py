"""What a model loses when its residual stream is replaced at one layer: next-token losses, clean and spliced."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from misdirection import progress
from misdirection.engine.batching import run_batches
from misdirection.engine.capture import CaptureError
from misdirection.engine.finite import NotFiniteError
from misdirection.engine.program import Program
from misdirection.engine.texts import Text, bind_texts, pad_right
from misdirection.models import Model
from misdirection.models.positions import demand_positions
from misdirection.models.stream import check_stream, residual, with_residual
from misdirection.models.vocabulary import demand_tokens

Edit = Callable[[Tensor], Tensor]
"""From states (tokens, width) to what stands in their place."""

_LOGITS = 2**24
"""Logits (tokens x vocabulary) of one batch: 64 MB in float32."""


@contextmanager
def spliced(model: Model, layer: int, where: Tensor, edit: Edit) -> Generator[None]:
    """While open, the residual stream after `layer` is edited at some tokens of the batch that runs.

    Args:
        model: The resident model.
        layer: Decoder layer.
        where: Which tokens, bool, shape (rows, tokens).
        edit: See `Edit`; its result is brought to the stream's type.
    """

    def hook(module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        x = residual(module, output)
        inside = where.to(x.device)
        changed = x.clone()
        changed[inside] = edit(x[inside]).to(x)
        return with_residual(module, output, changed)

    handle = model.layers[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def next_token_losses(
    model: Model, texts: Sequence[Text], layer: int, span: str, edits: Mapping[str, Edit | None]
) -> dict[str, float]:
    """Mean cross-entropy, in nats, of the token after each token of a span, under each edit of the span's states.

    Args:
        model: The resident model.
        texts: What is read, each under its arm.
        layer: After which decoder layer the edits act.
        span: Whose states are edited, and whose next tokens count.
        edits: By name; None leaves the model as it is.

    Raises:
        CaptureError: The layer is beyond the model, or no token of a span has a next one.
        NotFiniteError: A loss is NaN or infinite.
    """
    if not 0 <= layer < model.n_layers:
        raise CaptureError(f"layer {layer} cannot be edited", f"{model.name} has layers 0..{model.n_layers - 1}")
    check_stream(model.lm)
    demand_positions(model, max((len(text.ids) for text in texts), default=0), "texts")
    demand_tokens(model, (text.ids for text in texts), "texts")
    vocabulary = int(model.lm.config.get_text_config().vocab_size)
    sums, count = dict.fromkeys(edits, 0.0), 0
    program = Program.of(model, texts)
    lengths = [len(text.ids) for text in texts]
    task = progress.task("splicing", len(texts), "texts", work=sum(lengths), work_unit="tokens")

    def run(batch: list[int]) -> tuple[dict[str, float], int]:
        return _losses(model, program, [texts[index] for index in batch], layer, span, edits)

    with torch.inference_mode(), program.attached(), task as advance:
        for batch, (found, tokens) in run_batches(
            range(len(texts)),
            lambda index: len(texts[index].ids),
            max(1, _LOGITS // vocabulary),
            run,
            lambda index: texts[index].arm.adapter or "",
        ):
            sums = {name: sums[name] + found[name] for name in edits}
            count += tokens
            advance(len(batch), work=sum(lengths[index] for index in batch))
    if not count:
        raise CaptureError(f"no token of the span '{span}' has a next one")
    return {name: total / count for name, total in sums.items()}


def _losses(
    model: Model, program: Program, texts: list[Text], layer: int, span: str, edits: Mapping[str, Edit | None]
) -> tuple[dict[str, float], int]:
    """Sums over a batch by edit, and how many tokens they are of."""
    ids, positions = pad_right(texts)
    bind_texts(program, texts, positions)
    inside = torch.zeros(ids.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        inside[row, slice(*text.spans[span])] = True
    # The last token of a text has no next one; the next of a padded row's last token is padding.
    counted = inside[:, :-1] & (positions[:, 1:] >= 0)
    targets = ids[:, 1:][counted]
    found: dict[str, float] = {}
    for name, edit in edits.items():
        if edit is None:
            logits = model.lm(input_ids=ids.to(model.device), use_cache=False).logits
        else:
            with spliced(model, layer, inside, edit):
                logits = model.lm(input_ids=ids.to(model.device), use_cache=False).logits
        chosen = logits[:, :-1][counted.to(logits.device)].float()
        found[name] = float(nn.functional.cross_entropy(chosen, targets.to(logits.device), reduction="sum"))
        if not math.isfinite(found[name]):
            cause = "" if edit is None else f" with the edit '{name}' of layer {layer}"
            raise NotFiniteError(
                f"the next-token losses of {model.name} are not numbers (NaN or infinite) in {model.dtype}{cause}",
                "try --dtype bfloat16 or float32" if edit is None else "look at what the edit puts into the stream",
            )
    return found, len(targets)
