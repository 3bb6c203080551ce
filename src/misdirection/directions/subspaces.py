"""Subspaces that groups of directions span, and the angles between them."""

from __future__ import annotations

import torch
from torch import Tensor

from misdirection.errors import MisdirectionError


def principal_angles(one: Tensor, other: Tensor) -> Tensor:
    """Principal angles between the subspaces spanned by two sets of vectors, in degrees, smallest first.

    cos of the k-th angle is the k-th singular value of Q_1^T Q_2 with orthonormal bases Q. For one vector each it is
    the angle between the two lines, so that a direction and its negative have angle 0.

    Args:
        one: Shape (vectors, width); lengths do not matter.
        other: The same of the other set.

    Returns:
        As many angles as the smaller subspace has dimensions, float64.

    Raises:
        MisdirectionError: A set is empty or holds a vector of length 0, which spans nothing.
    """
    from scipy.linalg import subspace_angles

    units: list[Tensor] = []
    for vectors in (one, other):
        norms = vectors.double().norm(dim=-1, keepdim=True)
        if not len(vectors) or not bool((norms > 0).all()):
            raise MisdirectionError(
                "a subspace needs vectors, and none of length 0", "leave out models without a direction"
            )
        units.append(vectors.double() / norms)
    found = subspace_angles(units[0].numpy().T, units[1].numpy().T)
    return torch.from_numpy(found.copy()).rad2deg().flip(0)


def shared_variance(vectors: Tensor) -> Tensor:
    """Share of the squared length of unit vectors along each of their principal axes, largest first.

    s_k^2 / sum s^2 of the singular values of the normalised rows, not centred: 1, 0, 0 ... when all are parallel.

    Args:
        vectors: Shape (vectors, width).
    """
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    squared = torch.linalg.svdvals(unit) ** 2
    return squared / squared.sum()
