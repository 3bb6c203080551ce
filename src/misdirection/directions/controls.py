"""Directions that should do nothing: every effect is shown beside theirs."""

from __future__ import annotations

import torch
from torch import Tensor


def random_like(vectors: Tensor, seed: int) -> Tensor:
    """Random directions with the norm of each row: normalised first and then scaled.

    One Gaussian direction is drawn and used at all layers, as a real direction persists over layers. (The published
    code scales an unnormalised Gaussian, which is sqrt(width) times too long.)

    Args:
        vectors: Shape (n_layers, width) or (width,).
        seed: Of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(vectors.shape[-1], generator=generator, dtype=torch.float64)
    unit = draw / draw.norm()
    return (vectors.double().norm(dim=-1, keepdim=True) * unit).to(vectors.dtype)
