from __future__ import annotations

import pytest
import torch

from misdirection.judging.offline.eight_bit import EightBitLayer, Rounding, has_eight_bits, watched
from misdirection.judging.offline.encoder import WIDTH, Layer


def test_rounding_is_to_the_nearest_step_and_keeps_zero() -> None:
    rounding = Rounding.between(-1.3, 4.1)
    x = torch.linspace(-2, 5, 2001)
    back = (rounding(x).float() - rounding.zero) * rounding.scale
    inside = (x > -1.3) & (x < 4.1)
    assert ((back - x).abs()[inside] <= 0.51 * rounding.scale).all()
    assert (back[x < -1.3] >= -1.3 - rounding.scale).all() and (back[x > 4.1] <= 4.1 + rounding.scale).all()
    assert rounding(torch.zeros(1)).item() == rounding.zero


@pytest.mark.skipif(not has_eight_bits(), reason="this processor multiplies no eight-bit integers")
def test_a_layer_in_eight_bits_is_the_layer_and_does_not_mix_rows() -> None:
    torch.manual_seed(0)
    layer = Layer().eval().requires_grad_(False)
    x = torch.randn(16, 32, WIDTH)
    mask = torch.zeros(16, 1, 1, 32)
    mask[3, ..., 20:] = -1e9
    exact = layer(x, mask)
    found = EightBitLayer(layer, watched(layer, lambda: layer(x, mask)))
    out = found(x, mask)
    assert (out - exact).pow(2).mean().sqrt() < 0.02 * exact.std()
    order = torch.randperm(16)
    assert torch.equal(found(x[order], mask[order]), out[order])
