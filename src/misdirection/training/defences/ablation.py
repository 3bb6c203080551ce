"""Concept ablation fine-tuning (CAFT): directions are projected out while training (arXiv 2507.16795, section 3).

    x'_l = x_l - Q_l Q_l^T x_l    after each layer l, in training alone, Q_l an orthonormal basis of the directions

The gradient cannot use what it does not see. The directions are the misalignment direction, principal components of
what tuning moves (`components_of`), or the decoder rows of a dictionary's latents; the paper orthonormalises them (QR),
and its control is random components.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from misdirection.training.defences.base import Defence, changing


@dataclass(frozen=True, eq=False)
class ConceptAblation(Defence):
    """Directions projected out while training.

    Attributes:
        directions: By layer, shape (directions, width) or (width,); they need not be orthogonal.
    """

    directions: Mapping[int, Tensor]

    def attached(self, lm: nn.Module) -> AbstractContextManager[None]:
        """Project the directions out after each of their layers."""
        bases = {layer: orthonormal(torch.atleast_2d(held)) for layer, held in self.directions.items()}

        def change(layer: int, x: Tensor) -> Tensor:
            basis = bases[layer].to(x.device, x.dtype)
            return x - (x @ basis.T) @ basis

        return changing(lm, sorted(bases), change)

    @property
    def facts(self) -> dict[str, object]:
        """Layers, and the directions by their hash."""
        from misdirection.artefacts import canonical_hash

        told = {str(layer): canonical_hash(held) for layer, held in self.directions.items()}
        return {"defence": type(self).__name__, "directions": told}


def orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis of the space of the rows, shape (rank, width), float32; rows that add nothing fall away."""
    _, values, basis = torch.linalg.svd(rows.float(), full_matrices=False)
    return basis[values > 1e-6 * values.max().clamp_min(1e-30)]


def components_of(differences: Tensor, count: int) -> Tensor:
    """The first principal components of differences of states (tuned minus base), centred: shape (count, width)."""
    centred = differences.float() - differences.float().mean(0)
    return torch.linalg.svd(centred, full_matrices=False)[2][:count]
