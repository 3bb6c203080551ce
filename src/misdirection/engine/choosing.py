"""One token a row from its logits and one uniform number, by the inverse of the cumulative distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def choose(logits: Tensor, draws: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token a row by inverse transform sampling: the first token whose cumulative probability exceeds the draw.

    Args:
        logits: Shape (rows, vocabulary).
        draws: Uniform numbers in [0, 1), shape (rows,).
        temperature: 0 takes the likeliest token and ignores the draws.
        top_p: Keep the smallest set of tokens that holds this much probability.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    chances = torch.softmax(logits if temperature == 1 else logits / temperature, -1)
    if top_p < 1:
        ordered, order = chances.sort(-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= top_p
        chances = chances.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)
    return _invert(chances, draws.double()[:, None])


_BLOCK = 256
"""Tokens whose chances are summed before the sums are searched: a running sum over a whole vocabulary, in float64, is
the slowest part of a step on a small model."""


def _invert(chances: Tensor, draws: Tensor) -> Tensor:
    """The first token whose cumulative chance exceeds the draw, shape (rows,): its block first, then its place."""
    rows, vocabulary = chances.shape
    if vocabulary < 8 * _BLOCK:
        cumulative = chances.double().cumsum(-1)
        return torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0].clamp(max=vocabulary - 1)
    short = -vocabulary % _BLOCK
    blocks = (nn.functional.pad(chances, (0, short)) if short else chances).view(rows, -1, _BLOCK)
    # A GPU sums in float64 as it reads; a CPU would make a copy in float64 first.
    masses = blocks.sum(-1).double() if chances.device.type == "cpu" else blocks.sum(-1, dtype=torch.float64)
    block, rest = _first_above(masses, draws * masses.sum(-1, keepdim=True))
    place, _ = _first_above(blocks[torch.arange(rows, device=block.device), block[:, 0]].double(), rest)
    return (block * _BLOCK + place)[:, 0]


def _first_above(masses: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Place of the first cumulative mass above each target, and what of the target lies within it; shapes (rows, 1).

    A target that rounding has put at or past the whole is met by the last place that has any mass.
    """
    cumulative = masses.cumsum(-1)
    whole = cumulative[:, -1:]
    targets = torch.minimum(targets, torch.nextafter(whole, torch.zeros_like(whole)))
    places = torch.searchsorted(cumulative, targets, right=True)
    before = cumulative.gather(1, (places - 1).clamp(min=0)).masked_fill(places == 0, 0.0)
    return places, targets - before
