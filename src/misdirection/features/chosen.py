"""What a few chosen latents do, token by token: only their columns of the encoder run, and only what fires is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.features.dictionary import Dictionary
from misdirection.features.stream import CHUNK_VALUES
from misdirection.models import Model


@dataclass(frozen=True)
class Firings:
    """What fired in some texts; shape (firings,) each.

    Attributes:
        texts: Index of the text.
        tokens: Place of the token in the text.
        latents: Place in the list of chosen latents.
        values: Activation, above zero.
    """

    texts: Tensor
    tokens: Tensor
    latents: Tensor
    values: Tensor


def visit_firings(
    model: Model,
    dictionary: Dictionary,
    texts: Sequence[Text],
    latents: Sequence[int],
    visit: Callable[[Firings], None],
    *,
    span: str = "answer",
    layer: int | None = None,
) -> None:
    """Hand what fires to a reader, chunk by chunk; nothing of it is kept.

    Args:
        model: The resident model.
        dictionary: Of one of its layers.
        texts: What is read, each under its arm, with the span named.
        latents: The chosen ones.
        visit: Called with firings on the CPU; those of one text may come in several parts.
        span: Whose tokens are read.
        layer: After which decoder layer; the dictionary's own by default.

    Raises:
        DictionaryError: The dictionary does not fit the model, or its layer is not known.
        CaptureError: A span is missing.
    """
    at = dictionary.layer_in(model, layer)
    fires = _encoder(dictionary, latents)

    def read(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        lengths = torch.tensor([len(held) for held in states])
        starts = torch.tensor([texts[index].spans[span][0] for index in batch])
        rows = torch.repeat_interleave(torch.arange(len(batch)), lengths)
        # Place in the text: place in the batch's tokens, less where the text's own begin.
        tokens = torch.arange(len(rows)) - (lengths.cumsum(0) - lengths)[rows] + starts[rows]
        places, whole = torch.tensor(batch)[rows], torch.cat(list(states))
        step = max(1, CHUNK_VALUES // dictionary.latents)
        for first in range(0, len(whole), step):
            token, latent, value = (part.cpu() for part in fires(whole[first : first + step]))
            visit(Firings(places[first + token], tokens[first + token], latent, value.float()))

    with torch.inference_mode():
        visit_states(model, texts, at, span, read)


def _encoder(dictionary: Dictionary, latents: Sequence[int]) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """States (tokens, width) to token, place of the latent and activation of what fires."""
    index = torch.tensor(latents, device=dictionary.encoder.device)
    if dictionary.activation != "topk":
        cut = None if dictionary.threshold is None else dictionary.threshold[index]
        return replace(
            dictionary, encoder=dictionary.encoder[:, index], decoder=dictionary.decoder[index],
            encoder_bias=dictionary.encoder_bias[index], threshold=cut,
        ).active  # fmt: skip
    # Which of them are among the k largest, the others decide too.
    place = torch.full((dictionary.latents,), -1, device=index.device)
    place[index] = torch.arange(len(latents), device=index.device)

    def fires(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens, found, values = dictionary.active(states)
        kept = place[found] >= 0
        return tokens[kept], place[found[kept]], values[kept]

    return fires
