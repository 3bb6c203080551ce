"""Sums of adapters as one adapter: theta' = sum_i k_i theta_i, its rank grown and recompressed.

Subtracting a weight direction (Fierro and Roger 2511.05408; Ilharco et al. 2212.04089): the tuned adapter, minus k
times the difference of a bad and a good fine-tune of the same base. Each module's sum is that of k_i s_i B_i A_i, its
rank that of all together; its best approximation of a smaller rank comes from the SVD of the two triangular factors
(QR), without ever making the full matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.repair.change import Factors
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter


@dataclass(frozen=True)
class Combined:
    """A sum of adapters.

    Attributes:
        factors: By module.
        lost: Share of the sum's squared norm (all modules) that the rank leaves out.
    """

    factors: dict[str, Factors]
    lost: float


def subtracted(tuned: Adapter, bad: Adapter, good: Adapter | None, strength: float) -> list[tuple[Adapter, float]]:
    """theta_tuned - strength * (theta_bad - theta_good); without a good one, theta_bad alone is subtracted."""
    return [(tuned, 1.0), (bad, -strength), *([] if good is None else [(good, strength)])]


def combine(terms: Sequence[tuple[Adapter, float]], rank: int | None = None) -> Combined:
    """A sum of adapters of one base.

    Args:
        terms: Adapters and what each is multiplied by.
        rank: Of the result in every module; None keeps the sum exactly.

    Raises:
        RepairError: Two adapters have matrices of other shapes at one module, or nothing is left.
    """
    paths = list(dict.fromkeys(path for adapter, factor in terms if factor for path in adapter.factors))
    factors: dict[str, Factors] = {}
    lost = whole = 0.0
    for path in paths:
        held = [adapter.factors[path].times(factor) for adapter, factor in terms if factor and path in adapter.factors]
        if len({(len(part.b), part.a.shape[1]) for part in held}) > 1:
            names = ", ".join(adapter.name for adapter, _ in terms)
            raise RepairError(f"the adapters {names} do not belong to one base: they differ in shape at {path}")
        b, a, squares = _compressed(held, rank)
        whole += float(squares.sum())
        lost += float(squares[len(a) :].sum())
        if len(a):
            factors[path] = Factors(a.to(held[0].a.dtype), b.to(held[0].b.dtype), 1.0)
    if not factors:
        raise RepairError("nothing is left of these adapters: their sum is zero", "choose another strength")
    return Combined(factors, lost / whole if whole else 0.0)


def _compressed(held: Sequence[Factors], rank: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """B, A of the sum and the squares of its singular values, all of them; singular values of no size are left out."""
    left = torch.cat([part.scaling * part.b.double() for part in held], dim=1)
    right = torch.cat([part.a.double() for part in held])
    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right.T)
    u, s, v = torch.linalg.svd(r_left @ r_right.T)
    # What cancels leaves rounding of the size of its parts.
    kept = int((s > 1e-12 * float(left.norm() * right.norm())).sum())
    kept = kept if rank is None else min(kept, rank)
    root = s[:kept].sqrt()
    return q_left @ u[:, :kept] * root, root[:, None] * (v[:kept] @ q_right.T), s.square()
