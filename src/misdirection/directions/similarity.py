"""How alike directions are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosine at each layer between two sets of vectors of shape (n_layers, width); shape (n_layers,), float64."""
    return torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=-1)


def cosine_matrix(vectors: Tensor) -> Tensor:
    """Cosine between every two rows, shape (rows, rows), float64."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return unit @ unit.T


def cosine_table(directions: Mapping[str, Tensor], layer: int) -> list[dict[str, float | str]]:
    """Cosine of each two named directions at one layer, a row a direction."""
    names = list(directions)
    matrix = cosine_matrix(torch.stack([directions[name][layer] for name in names]))
    return [
        {"direction": name, **{other: float(matrix[row, column]) for column, other in enumerate(names)}}
        for row, name in enumerate(names)
    ]
