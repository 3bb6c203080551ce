"""How well a dictionary stands for a layer: variance explained, active latents, dead latents, loss recovered.

    variance explained = 1 - sum ||x - x'||^2 / sum ||x - mean x||^2
    loss recovered     = (L_ablated - L_spliced) / (L_ablated - L_clean)

L is the next-token cross-entropy of the model: as it is (clean), with the reconstruction x' in the place of x
(spliced), with 0 or the mean of x in its place (ablated). The same figures for another variant of the model (a
fine-tune of what the dictionary was trained on, or the other way round) say how far the dictionary carries over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.engine.splice import next_token_losses
from misdirection.features.dictionary import Dictionary
from misdirection.features.stream import CHUNK_VALUES
from misdirection.models import Model


@dataclass(frozen=True)
class Quality:
    """Figures of a dictionary on given texts.

    Attributes:
        tokens: States that were reconstructed.
        variance_explained: See the module.
        l0: Mean number of active latents a token.
        dead: Latents that fired at none of the tokens.
        latents: Of the dictionary.
        loss_clean: Nats a token, as the next three.
        loss_spliced: With reconstructions.
        loss_zero: With zeros.
        loss_mean: With the mean state.
        recovered_zero: Loss recovered against zeros; NaN where these do no harm.
        recovered_mean: Against the mean state.
    """

    tokens: int
    variance_explained: float
    l0: float
    dead: int
    latents: int
    loss_clean: float
    loss_spliced: float
    loss_zero: float
    loss_mean: float
    recovered_zero: float
    recovered_mean: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def measure(
    model: Model, dictionary: Dictionary, texts: Sequence[Text], span: str, *, layer: int | None = None
) -> Quality:
    """Figures of a dictionary on texts that it was not trained on, in five passes over them.

    Args:
        model: The resident model; the arms of the texts say under which variant it is read.
        dictionary: Of one of its layers.
        texts: Held out.
        span: Whose states are read and replaced.
        layer: After which decoder layer; the dictionary's own by default.

    Raises:
        DictionaryError: The dictionary does not fit the model, or its layer is not known.
        CaptureError: A span is missing.
    """
    at = dictionary.layer_in(model, layer)
    dictionary = dictionary.to(model.device)
    sums = _Sums(dictionary)
    visit_states(model, texts, at, span, lambda _, states: sums.add(torch.cat(list(states))))
    mean = sums.total / sums.tokens
    losses = next_token_losses(
        model,
        texts,
        at,
        span,
        {
            "clean": None,
            "spliced": lambda x: dictionary.decode(dictionary.encode(x)),
            "zero": torch.zeros_like,
            "mean": lambda x: mean.expand_as(x),
        },
    )
    clean, replaced = losses["clean"], losses["spliced"]
    return Quality(
        tokens=sums.tokens,
        variance_explained=1 - sums.missed / max(sums.variance, 1e-300),
        l0=sums.active / sums.tokens,
        dead=int((~sums.fired).sum()),
        latents=dictionary.latents,
        loss_clean=clean,
        loss_spliced=replaced,
        loss_zero=losses["zero"],
        loss_mean=losses["mean"],
        recovered_zero=recovered(losses["zero"], replaced, clean),
        recovered_mean=recovered(losses["mean"], replaced, clean),
    )


def variance_explained(
    model: Model, dictionary: Dictionary, texts: Sequence[Text], span: str, *, layer: int | None = None
) -> float:
    """Share of the variance of states that the dictionary gives back; 0 or less for one that belongs elsewhere.

    Args:
        model: The resident model; the arms of the texts say under which variant it is read.
        dictionary: Of one of its layers.
        texts: What is read, in one pass.
        span: Whose states are reconstructed.
        layer: After which decoder layer; the dictionary's own by default.

    Raises:
        DictionaryError: The dictionary does not fit the model, or its layer is not known.
        CaptureError: A span is missing.
    """
    at = dictionary.layer_in(model, layer)
    sums = _Sums(dictionary.to(model.device))
    with torch.inference_mode():
        visit_states(model, texts, at, span, lambda _, states: sums.add(torch.cat(list(states))))
    return 1 - sums.missed / max(sums.variance, 1e-300)


def recovered(ablated: float, replaced: float, clean: float) -> float:
    """Share of the loss that ablation costs which the reconstruction gives back; NaN where ablation costs nothing."""
    return (ablated - replaced) / (ablated - clean) if ablated > clean else float("nan")


class _Sums:
    """What is kept of states and their reconstructions, in float64."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        device = dictionary.encoder.device
        self.total = torch.zeros(dictionary.width, dtype=torch.float64, device=device)
        self.fired = torch.zeros(dictionary.latents, dtype=torch.bool, device=device)
        self.tokens, self.square, self.missed, self.active = 0, 0.0, 0.0, 0

    def add(self, states: Tensor) -> None:
        """More states, shape (tokens, width)."""
        for x in states.split(max(1, CHUNK_VALUES // self.dictionary.latents)):
            held = self.dictionary.encode(x)
            fires = held > 0
            exact = x.to(held.device).double()
            self.missed += float((exact - self.dictionary.decode(held).double()).square().sum())
            self.total += exact.sum(0)
            self.square += float(exact.square().sum())
            self.active += int(fires.sum())
            self.fired |= fires.any(0)
            self.tokens += len(x)

    @property
    def variance(self) -> float:
        """Sum of the squared distances to the mean."""
        return self.square - float(self.total.square().sum()) / self.tokens
