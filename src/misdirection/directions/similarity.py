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


def cosine_matrices(vectors: Tensor) -> Tensor:
    """Cosine between every two directions at every layer.

    Args:
        vectors: Shape (directions, n_layers, width).

    Returns:
        Shape (n_layers, directions, directions), float64.
    """
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1).transpose(0, 1)
    return unit @ unit.transpose(1, 2)


def relative_differences(vectors: Tensor) -> Tensor:
    """Norm of the difference of every two directions over the mean of their norms: 0 for equal, 2 for opposite ones.

    The published figure (2506.11618 figure 13) shows the norm alone, which grows with the residual stream.

    Args:
        vectors: Shape (directions, n_layers, width).

    Returns:
        Shape (n_layers, directions, directions), float64.
    """
    at_layer = vectors.double().transpose(0, 1)
    norms = at_layer.norm(dim=-1)
    products = at_layer @ at_layer.transpose(1, 2)
    squares = products.diagonal(dim1=1, dim2=2)
    apart = (squares[:, :, None] + squares[:, None] - 2 * products).clamp(min=0).sqrt()
    return 2 * apart / (norms[:, :, None] + norms[:, None])


def cosine_ceiling(stability: Tensor) -> Tensor:
    """The cosine that two directions would be measured to have, if the true ones were the same.

    Each is the mean of a finite number of answers. From the cosine s between the directions of two halves of its
    answers, its expected squared cosine with the true one is 2 s / (1 + s) (Spearman and Brown); two estimates of one
    direction then have cosine sqrt(r_i r_j). Below 0, s counts as 0.

    Args:
        stability: Cosine between halves, shape (directions, n_layers).

    Returns:
        Shape (n_layers, directions, directions), float64; 1 on the diagonal.
    """
    halves = stability.double().clamp(min=0).T
    reliable = (2 * halves / (1 + halves)).sqrt()
    found = reliable[:, :, None] * reliable[:, None]
    found.diagonal(dim1=1, dim2=2).fill_(1.0)
    return found


def cosine_table(directions: Mapping[str, Tensor], layer: int) -> list[dict[str, float | str]]:
    """Cosine of each two named directions at one layer, a row a direction."""
    names = list(directions)
    matrix = cosine_matrix(torch.stack([directions[name][layer] for name in names]))
    return [
        {"direction": name, **{other: float(matrix[row, column]) for column, other in enumerate(names)}}
        for row, name in enumerate(names)
    ]
