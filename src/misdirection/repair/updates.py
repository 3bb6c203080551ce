"""The updates of fine-tunes beside each other in the space of weights, by their LoRA factors alone.

An update is what an adapter adds to each module, U = s B A. With two of them, never made as full matrices:

    inner product     <U, U'> = s s' tr(A^T B^T B' A') = s s' sum((B^T B') * (A A'^T))
    cosine            <U, U'> / (|U| |U'|), Frobenius
    principal angles  between the spaces that both write (columns of U) or read (rows of U): the singular values of
                      Q^T Q' with orthonormal bases of both are their cosines
    overlap           the mean squared cosine, sum / min(r, r'); of random spaces of width d it is max(r, r') / d

Updates of several emergent-misalignment tasks share such a subspace and are connected by straight lines (Arturi et al.,
arXiv 2511.02022); the cosine of a fine-tune's update with theta(bad) - theta(good) tells misaligned fine-tunes from
others (Fierro and Roger, arXiv 2511.05408).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from misdirection.adapters.canonical import canonical
from misdirection.repair.change import Factors
from misdirection.repair.errors import RepairError

Update = Mapping[str, Factors]
"""What an adapter adds, by the path of the module."""

SMALLEST = 1e-6
"""Singular values below this share of the largest belong to no space: an update whose rank is not used up."""


@dataclass(frozen=True)
class Alike:
    """Two updates of one module.

    Attributes:
        module: Its path.
        cosine: Of the two matrices; None where one is zero.
        outputs: Overlap of what they write, 0 .. 1; None where one is zero.
        inputs: Overlap of what they read.
        outputs_chance: Overlap of random spaces of these ranks.
        inputs_chance: Likewise.
        nearest_output: Cosine of the smallest principal angle between what they write.
        nearest_input: Likewise of what they read.
    """

    module: str
    cosine: float | None
    outputs: float | None
    inputs: float | None
    outputs_chance: float | None
    inputs_chance: float | None
    nearest_output: float | None
    nearest_input: float | None


def check_alike(one: Update, other: Update, names: str) -> None:
    """Refuse updates of two bases.

    Raises:
        RepairError: They share no module, or differ in its shape.
    """
    shared = [path for path in one if path in other]
    if not shared:
        raise RepairError(f"{names} adapt no module in common", "compare adapters of one base and like targets")
    for path in shared:
        if _shape(one[path]) != _shape(other[path]):
            raise RepairError(f"{names} do not belong to one base: they differ in shape at {path}")


def inner(one: Update, other: Update) -> float:
    """<U, U'> over all modules; one that only one of them adapts adds nothing."""
    return sum(_inner(one[path], other[path]) for path in one if path in other)


def norm(update: Update) -> float:
    """Frobenius norm over all modules."""
    return max(0.0, inner(update, update)) ** 0.5


def cosine(one: Update, other: Update) -> float | None:
    """Cosine over all modules together; None where one is zero."""
    size = norm(one) * norm(other)
    return inner(one, other) / size if size else None


def by_module(one: Update, other: Update) -> list[Alike]:
    """Each module that both adapt."""
    return [_alike(path, one[path], other[path]) for path in one if path in other]


def principal_cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the principal angles between the spans of orthonormal columns, falling, shape (smaller rank,)."""
    return torch.linalg.svdvals(one.T @ other).clamp(max=1.0)


def difference(one: Update, other: Update) -> dict[str, Factors]:
    """One - other, exactly: at each module the factors of both side by side."""
    found: dict[str, Factors] = {}
    for path in dict.fromkeys((*one, *other)):
        parts = [held[path].times(sign) for held, sign in ((one, 1.0), (other, -1.0)) if path in held]
        b = torch.cat([part.b.double() * part.scaling for part in parts], dim=1)
        found[path] = Factors(torch.cat([part.a.double() for part in parts]), b, 1.0)
    return found


def random_update(like: Update, seed: int) -> dict[str, Factors]:
    """A Gaussian update of the same ranks, and of the same norm in every module."""
    found: dict[str, Factors] = {}
    for path, held in like.items():
        draw = _generator(seed, path)
        a, b = (torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in (held.a, held.b))
        drawn = Factors(a, b, 1.0)
        found[path] = drawn.times((max(0.0, _inner(held, held)) / _inner(drawn, drawn)) ** 0.5)
    return found


def shuffled_update(update: Update, seed: int) -> dict[str, Factors]:
    """The same numbers in another order of inputs and of outputs, module by module: norms and spectra stay."""
    found: dict[str, Factors] = {}
    for path, held in update.items():
        draw = _generator(seed, path)
        inputs = torch.randperm(held.a.shape[1], generator=draw)
        outputs = torch.randperm(len(held.b), generator=draw)
        found[path] = Factors(held.a[:, inputs], held.b[outputs], held.scaling)
    return found


def _alike(path: str, one: Factors, other: Factors) -> Alike:
    spaces = [_spaces(held) for held in (one, other)]
    size = (_inner(one, one) * _inner(other, other)) ** 0.5
    if not all(len(left.T) for left, _ in spaces) or not size:
        return Alike(path, None, None, None, None, None, None, None)
    (left, right), (left2, right2) = spaces
    written, read = principal_cosines(left, left2), principal_cosines(right, right2)
    widest = max(left.shape[1], left2.shape[1])
    return Alike(
        module=path,
        cosine=_inner(one, other) / size,
        outputs=float(written.square().mean()),
        inputs=float(read.square().mean()),
        outputs_chance=widest / len(left),
        inputs_chance=widest / len(right),
        nearest_output=float(written[0]),
        nearest_input=float(read[0]),
    )


def _spaces(held: Factors) -> tuple[Tensor, Tensor]:
    """Orthonormal bases of what an update writes and reads, shapes (outputs, rank) and (inputs, rank)."""
    form = canonical(held.a, held.b)
    used = form.values > SMALLEST * float(form.values.max()) if form.values.any() else form.values > 0
    return form.left[:, used], form.right[:, used]


def _inner(one: Factors, other: Factors) -> float:
    left, right = one.b.double().T @ other.b.double(), one.a.double() @ other.a.double().T
    return float((left * right).sum()) * one.scaling * other.scaling


def _shape(held: Factors) -> tuple[int, int]:
    return len(held.b), held.a.shape[1]


def _generator(seed: int, path: str) -> torch.Generator:
    return torch.Generator().manual_seed(int.from_bytes(sha256(f"{seed}/{path}".encode()).digest()[:7], "little"))
