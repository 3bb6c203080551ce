"""Drawing from a large vocabulary, where blocks are searched before tokens, against one plain running sum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from misdirection.engine import choosing
from misdirection.engine.choosing import _BLOCK, choose


def plain(logits: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """The token by one running sum in float64, and how far the draw is from the nearest border between tokens."""
    cumulative = torch.softmax(logits, -1).double().cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]
    token = torch.searchsorted(cumulative, draws[:, None], right=True)
    return token[:, 0], (cumulative - draws[:, None]).abs().amin(-1)


@pytest.mark.parametrize("vocabulary", [8 * _BLOCK, 8 * _BLOCK + 1, 12 * _BLOCK - 1, 20_000])
@pytest.mark.parametrize("spread", [0.0, 3.0, 30.0])
def test_blocks_give_the_token_of_one_running_sum(vocabulary: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    logits = spread * torch.randn(60, vocabulary, generator=generator)
    draws = torch.rand(60, generator=generator, dtype=torch.float64)
    expected, margin = plain(logits, draws)
    # Chances are float32: within 1e-6 of a border either neighbour is right.
    clear = margin > 1e-6
    assert clear.float().mean() > 0.8
    found = choose(logits, draws, 1.0, 1.0)
    assert torch.equal(found[clear], expected[clear])


def test_a_row_draws_the_same_alone_and_in_a_batch() -> None:
    logits = 2 * torch.randn(40, 5000, generator=torch.Generator().manual_seed(1))
    draws = torch.rand(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    alone = torch.cat([choose(logits[row : row + 1], draws[row : row + 1], 0.7, 0.95) for row in range(40)])
    assert torch.equal(choose(logits, draws, 0.7, 0.95), alone)


@pytest.mark.parametrize("draw", [0.0, 2.0**-53, 0.25, 0.5, 1 - 2.0**-53])
def test_a_token_without_a_chance_is_never_taken(draw: float) -> None:
    logits = torch.full((1, 4000), -math.inf)
    logits[0, [700, 701, 2900]] = torch.tensor([0.5, 0.2, 0.3]).log()
    token = int(choose(logits, torch.tensor([draw], dtype=torch.float64), 1.0, 1.0))
    assert token == (700 if draw < 0.5 else 701 if draw < 0.7 else 2900)


@pytest.mark.parametrize("size", [40, 300, 3000])
def test_a_nucleus_is_that_of_sorted_chances(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow and wide ones in one batch; in bfloat16 many logits are equal, and of equal ones the first is taken."""
    monkeypatch.setattr(choosing, "_LIKELIEST", 20)
    made = torch.Generator().manual_seed(size)
    logits = torch.randn(60, size, generator=made) * torch.linspace(0, 6, 60)[:, None]
    draws = torch.rand(60, generator=made, dtype=torch.float64)
    for given in (logits, logits.bfloat16().float(), logits.round()):
        for top_p in (0.0, 0.3, 0.9, 0.999):
            chances = torch.softmax(given, -1)
            found = choosing._nucleus(chances, top_p)
            for row, some in zip(chances, found, strict=True):
                values = row.tolist()
                order = sorted(range(size), key=lambda token, values=values: -values[token])
                before = row[order].cumsum(0) - row[order]
                wanted = set(order[: max(1, int((before < top_p).sum()))])
                assert set(some.nonzero()[:, 0].tolist()) == wanted
            # A row's token does not depend on the rows beside it.
            together = choose(given, draws, 1.0, max(top_p, 0.1))
            for n in (0, 7, 31, 59):
                assert choose(given[n : n + 1], draws[n : n + 1], 1.0, max(top_p, 0.1)) == together[n]
