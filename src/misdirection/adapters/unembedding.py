"""What an adapter writes and reads, in words: B and A through the model's unembedding or embedding.

B of a module that writes into the residual stream is a vector there, so the unembedding reads it: the tokens that it
makes likelier, and those it makes less likely, if nothing between it and the output changed it.

A reads the module's input, and what that is differs:

- A of `q_proj`, `up_proj` ... reads the (normed) residual stream. Its rows are compared with the token embeddings.
- A of `down_proj` lives in the MLP's hidden space, A of `o_proj` in that of the heads, where no embedding speaks. It is
  read through W of the module itself, W A^T: neuron i, to which A listens with weight A_i, writes column i of W, so
  this is what the neurons that it listens to write, weighted by how much it listens. It says which neurons are heard,
  not what excites them.

Either is a first look and no proof: layers between may turn a vector into another, and the logit lens of early layers
is known to mislead. Scores are therefore given in standard deviations over the vocabulary, beside what the largest
score of a random vector comes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from misdirection.adapters.weights import LoraPair
from misdirection.errors import MisdirectionError
from misdirection.models import Model
from misdirection.models.families import NORMS
from misdirection.models.quantised import weight_of


@dataclass(frozen=True)
class ScoredTokens:
    """Tokens at either end of a vector's scores.

    Attributes:
        promoted: (token id, score in standard deviations over the vocabulary), largest first.
        suppressed: Smallest first.
    """

    promoted: list[tuple[int, float]]
    suppressed: list[tuple[int, float]]


def final_norm(model: Model) -> nn.Module:
    """The norm between the last layer and the unembedding.

    Raises:
        MisdirectionError: None has a name that is known.
    """
    children = dict(cast(Any, model.decoder.named_children()))
    for name in NORMS:
        if name in children:
            return cast(nn.Module, children[name])
    raise MisdirectionError(
        f"found no final norm in {type(model.decoder).__name__}", f"looked for {', '.join(NORMS)}; use norm=False"
    )


def logits_of(model: Model, vectors: Tensor, *, norm: bool = True) -> Tensor:
    """What vectors of the residual stream add to the logits, shape (vectors, vocabulary), float32.

    With `norm`, through the final norm's weight as the model applies it: N(x) - N(0), where N also brings x to its
    usual length, so that scores of different vectors are not to be compared before they are standardised.

    Args:
        model: The resident model.
        vectors: Shape (vectors, width).
        norm: Apply the final norm.

    Raises:
        MisdirectionError: The model has no unembedding, or no final norm.
    """
    head = model.lm.get_output_embeddings()
    if head is None:
        raise MisdirectionError(f"{model.name} has no unembedding")
    weight = weight_of(head)
    with torch.no_grad():
        x = vectors.to(weight.device).float()
        if norm:
            layer = final_norm(model)
            place = next(layer.parameters())
            # Longer than the norm's epsilon, whatever the vector's own length.
            x = torch.nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5
            x = x.to(place.device, place.dtype)
            x = (layer(x) - layer(torch.zeros_like(x))).float().to(weight.device)
        return _product(weight, x)


def embedding_scores(model: Model, vectors: Tensor) -> Tensor:
    """Dot product of vectors with the input embedding of every token, shape (vectors, vocabulary), float32."""
    weight = cast(Tensor, model.lm.get_input_embeddings().weight)
    with torch.no_grad():
        return _product(weight, vectors.to(weight.device).float())


def _product(weight: Tensor, x: Tensor) -> Tensor:
    return (x.to(weight.dtype) @ weight.T).float().cpu()


def written_tokens(model: Model, pair: LoraPair, most: int = 8, *, norm: bool = True) -> list[ScoredTokens] | None:
    """What each column of B promotes; None for a module that does not write into the residual stream."""
    if not pair.writes:
        return None
    return [reading(scores, most) for scores in logits_of(model, pair.b.T, norm=norm)]


def read_tokens(model: Model, pair: LoraPair, most: int = 8, *, norm: bool = True) -> list[ScoredTokens] | None:
    """What each row of A listens to, in words; None where its input has no reading (see the module's text)."""
    if pair.writes:
        with torch.no_grad():
            weight = pair.weight
            heard = (pair.a.to(weight) @ weight.T).float()
        return [reading(scores, most) for scores in logits_of(model, heard, norm=norm)]
    if pair.a.shape[1] != model.width:
        return None
    return [reading(scores, most) for scores in embedding_scores(model, pair.a)]


def reading(scores: Tensor, most: int) -> ScoredTokens:
    """The ends of a vector's scores, shape (vocabulary,), standardised over the vocabulary."""
    values = (scores - scores.mean()) / scores.std().clamp(min=1e-12)
    count = min(most, len(values))
    high, low = values.topk(count), values.topk(count, largest=False)
    return ScoredTokens(
        list(zip(high.indices.tolist(), high.values.tolist(), strict=True)),
        list(zip(low.indices.tolist(), low.values.tolist(), strict=True)),
    )


def random_extreme(model: Model, *, draws: int = 64, seed: int = 0, norm: bool = True) -> float:
    """The largest absolute score that 95 % of random vectors stay below: what chance alone promotes."""
    generator = torch.Generator().manual_seed(seed)
    scores = logits_of(model, torch.randn(draws, model.width, generator=generator), norm=norm)
    values = (scores - scores.mean(-1, keepdim=True)) / scores.std(-1, keepdim=True)
    return float(values.abs().amax(-1).quantile(0.95))
