"""Where the residual stream lies in what a decoder layer returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from misdirection.models.errors import ModelError
from misdirection.models.families import SEVERAL_STREAMS, family_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_stream(lm: PreTrainedModel) -> None:
    """Refuse at once a family that has no one residual stream.

    Raises:
        ModelError: It is one.
    """
    if family_of(lm) in SEVERAL_STREAMS:
        raise ModelError(
            f"{type(lm).__name__} has hyper-connections: several residual streams, and none that every layer reads",
            "it can be sampled and compared by likelihood, not captured or steered",
        )


def residual(layer: nn.Module, output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The residual stream after a layer, shape (rows, tokens, width): a view of its output, changed by changing it.

    A layer returns the stream, or a tuple that starts with it. Gemma 3n's (AltUp) returns several streams side by
    side, shape (streams, rows, tokens, width); the one that its attention and MLP read and write is meant.

    Raises:
        ModelError: The layer has no such stream.
    """
    x = output if isinstance(output, Tensor) else output[0]
    if x.ndim == 4 and hasattr(layer, "altup"):
        settings: Any = layer.altup
        return x[int(settings.config.altup_active_idx)]
    if x.ndim != 3:
        raise ModelError(
            f"{type(layer).__name__} returns states of shape {tuple(x.shape)}, so there is no one residual stream "
            "(rows, tokens, width) to read or to steer",
            "such a model can be sampled and compared by likelihood, not captured or steered",
        )
    return x


def with_residual(layer: nn.Module, output: Tensor | tuple[Tensor, ...], x: Tensor) -> Tensor | tuple[Tensor, ...]:
    """A layer's output with another residual stream in it; the output itself is left as it is."""
    before = residual(layer, output)
    first = output if isinstance(output, Tensor) else output[0]
    if first is not before:
        first = first.clone()
        residual(layer, first).copy_(x)
    else:
        first = x
    return first if isinstance(output, Tensor) else (first, *output[1:])
