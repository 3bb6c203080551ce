"""One token a row from its logits and one uniform number, by the inverse of the cumulative distribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
    if top_p >= 1 and logits.shape[1] >= 8 * _BLOCK:
        return _choose_in_blocks(logits, draws, temperature)
    logits = logits.float()
    chances = torch.softmax(logits if temperature == 1 else logits / temperature, -1)
    if top_p < 1:
        chances = chances.masked_fill(~_nucleus(chances, top_p), 0.0)
    return _invert(chances, draws.double()[:, None])


_LIKELIEST = 512
"""Tokens among which a nucleus is looked for first: sorting a vocabulary takes as long as a small model's step."""


def _nucleus(chances: Tensor, top_p: float) -> Tensor:
    """The fewest tokens of each row that hold so much, of equal ones the first, bool, shape (rows, vocabulary)."""
    count = min(_LIKELIEST, chances.shape[1])
    ordered = chances.topk(count, -1).values
    kept = (ordered.cumsum(-1) - ordered < top_p).sum(-1, keepdim=True).clamp(min=1)
    inside = chances >= ordered.gather(1, kept - 1)
    if bool((more := inside.sum(-1, keepdim=True) > kept).any()):
        for row in more[:, 0].nonzero()[:, 0].tolist():
            least = ordered[row, kept[row] - 1]
            ties = (chances[row] == least).nonzero()[:, 0]
            inside[row, ties[int(kept[row] - (ordered[row] > least).sum()) :]] = False
    if count < chances.shape[1] and bool((wide := kept[:, 0] == count).any()):
        ordered, order = chances[wide].sort(dim=-1, descending=True, stable=True)
        within = ordered.cumsum(-1) - ordered < top_p
        inside[wide] = torch.zeros_like(within).scatter(-1, order, within)
    return inside


_BLOCK = 256
"""Tokens whose chances are summed before the sums are searched: a running sum over a whole vocabulary, in float64, is
the slowest part of a step on a small model."""


_ROWS = 2
"""Rows of a large vocabulary whose weights are made at a time on a CPU: about a megabyte, which stays in its cache."""


def _choose_in_blocks(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """`choose` for a large vocabulary and all of its tokens: only the masses of blocks are ever held for all rows."""
    top = logits.amax(-1, keepdim=True).float()
    rows = _ROWS if logits.device.type == "cpu" else len(logits)
    parts = [slice(first, first + rows) for first in range(0, len(logits), max(1, rows))]
    masses = torch.cat([_masses(_weights(logits[part], top[part], temperature)) for part in parts])
    return _search(masses, draws.double()[:, None], logits, lambda found: _weights(found, top, temperature))


def _search(masses: Tensor, draws: Tensor, values: Tensor, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    """The first token whose cumulative weight exceeds the draw, shape (rows,): its block first, then its place.

    Args:
        masses: Of the blocks, shape (rows, blocks), float64.
        draws: Shape (rows, 1).
        values: Of which `weigh` makes weights, shape (rows, vocabulary).
        weigh: Called with one block a row.
    """
    block, rest = _first_above(masses, draws * masses.sum(-1, keepdim=True))
    tokens = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
    inside = weigh(values.gather(1, tokens.clamp(max=values.shape[1] - 1))).double()
    place, _ = _first_above(inside.masked_fill(tokens >= values.shape[1], 0.0), rest)
    return (block * _BLOCK + place)[:, 0]


def _weights(logits: Tensor, top: Tensor, temperature: float) -> Tensor:
    """exp((z - top) / temperature), float32."""
    heights = logits.to(torch.float32, copy=True).sub_(top)
    return (heights if temperature == 1 else heights.div_(temperature)).exp_()


def _masses(weights: Tensor) -> Tensor:
    """Sums of the blocks, shape (rows, blocks), float64; the last block may be short."""
    whole = weights.shape[1] // _BLOCK * _BLOCK
    sums = weights[:, :whole].unflatten(1, (-1, _BLOCK)).sum(-1)
    tail = weights[:, whole:].sum(-1, keepdim=True)
    return (torch.cat([sums, tail], 1) if whole < weights.shape[1] else sums).double()


def _invert(chances: Tensor, draws: Tensor) -> Tensor:
    """The first token whose cumulative chance exceeds the draw, shape (rows,)."""
    if chances.shape[1] >= 8 * _BLOCK:
        return _search(_masses(chances), draws, chances, lambda found: found)
    cumulative = chances.double().cumsum(-1)
    return torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0].clamp(max=chances.shape[1] - 1)


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
