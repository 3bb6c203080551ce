"""A canonical form of LoRA pairs of any rank, since A and B themselves are not unique.

For every invertible r x r matrix M, (B M)(M^-1 A) = B A: at rank r > 1 the rows of A, and with them the scalars A x,
mean nothing one by one. The product does, and so does its singular value decomposition

    B A = U diag(s) V^T = sum_i u_i (s_i v_i)^T:

an adapter of rank r is r adapters of rank 1, each a unit vector u_i that is written with the scalar s_i v_i . x, the
length of what it adds (before LoRA's scaling). The pairs are ordered by s_i, the u_i are orthonormal, and the sign is
such that the entry of u_i with the largest magnitude is positive. Where two s_i are equal the pairs within their span
stay arbitrary, where s_i is 0 so does u_i; both can be told from the singular values.

Rank 1 comes out as itself, up to sign and length: arXiv 2506.11618 reads rank-1 adapters only.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from misdirection.adapters.weights import AdapterError, LoraPair
from misdirection.artefacts import read_json, read_tensors, write_tensors
from misdirection.models import matrices_in

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, eq=False)
class Canonical:
    """The canonical form of one pair (A, B); float64.

    Attributes:
        left: U, shape (outputs, rank), orthonormal columns.
        values: s, shape (rank,), falling, never negative.
        right: V, shape (inputs, rank), orthonormal columns.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    @property
    def a(self) -> Tensor:
        """diag(s) V^T, shape (rank, inputs): the A of the canonical adapter."""
        return self.values[:, None] * self.right.T

    @property
    def share(self) -> Tensor:
        """s_i^2 / sum s^2, shape (rank,): share of the squared Frobenius norm of B A; zeros where B A is 0."""
        squared = self.values.square()
        total = squared.sum()
        return squared / total if total else squared

    @property
    def participation(self) -> float:
        """(sum s^2)^2 / sum s^4: how many pairs the adapter effectively has; 0 where B A is 0."""
        squared = self.values.square()
        return float(squared.sum() ** 2 / squared.square().sum()) if squared.any() else 0.0


def canonical(a: Tensor, b: Tensor) -> Canonical:
    """The canonical form of B A without ever making B A: QR of B and of A^T, and the SVD of an r x r core.

    Args:
        a: A, shape (rank, inputs).
        b: B, shape (outputs, rank).

    Raises:
        AdapterError: The shapes do not fit each other.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise AdapterError(f"A of shape {tuple(a.shape)} and B of shape {tuple(b.shape)} are no pair")
    out, core_b = torch.linalg.qr(b.double())
    inside, core_a = torch.linalg.qr(a.double().T)
    u, values, vt = torch.linalg.svd(core_b @ core_a.T, full_matrices=False)
    left, right = out @ u, inside @ vt.T
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    signs = torch.where(signs == 0, torch.ones_like(signs), signs)
    return Canonical(left * signs, values, right * signs)


def turn(pair: LoraPair) -> Tensor:
    """The matrix that makes canonical scalars of raw ones: s_i v_i . x = (U^T B)(A x), shape (pairs, rank).

    With it the scalars of any rank are read as those of rank 1 are: no x of the module's input is ever kept.
    """
    b = pair.b.double()
    return canonical(pair.a, b).left.T @ b


def write_canonical(source: Path, target: Path, keep: Mapping[str, Sequence[int]] | None = None) -> None:
    """Write a PEFT adapter in canonical form: B = U, A = diag(s) V^T, an ordinary adapter of the same rank.

    It does to the model what the original does; its row i of A and column i of B are pair i.

    Args:
        source: Folder of the adapter.
        target: Folder to write.
        keep: By module path (as in `LoraPair.path`), the pairs that are kept, the others set to 0; a module that is not
            named keeps none. All by default.

    Raises:
        AdapterError: The folder holds no LoRA adapter, or one whose modules hold more than A and B.
        ModelError: A key of its file is no A or B with its other half.
    """
    _check(source)
    tensors, _ = read_tensors(source / WEIGHTS)
    held = matrices_in(tensors, source / WEIGHTS)
    foreign = [path for path in keep or () if path not in held]
    if foreign:
        raise AdapterError(f"{source} adapts no module called {foreign[0]}", f"its first is {next(iter(held))}")
    for path, (left, right) in held.items():
        a, b = tensors[left], tensors[right]
        form = canonical(a, b)
        kept = _mask(len(form.values), None if keep is None else keep.get(path, ()))
        # Where a side of the module is shorter than the rank, there are fewer pairs than rows: the rest stay 0.
        new_a, new_b = torch.zeros_like(a), torch.zeros_like(b)
        new_a[: len(kept)] = (form.a * kept[:, None]).to(a.dtype)
        new_b[:, : len(kept)] = (form.left * kept).to(b.dtype)
        tensors[left], tensors[right] = new_a, new_b
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target / WEIGHTS, tensors, {"canonical form of": source.name})
    shutil.copy(source / CONFIG, target / CONFIG)


def _check(source: Path) -> None:
    if not (source / WEIGHTS).exists() or not (source / CONFIG).exists():
        raise AdapterError(f"{source} holds no {WEIGHTS} with {CONFIG}", "give the folder of a PEFT adapter")
    config = read_json(source / CONFIG)
    if config.get("use_dora") or config.get("bias", "none") != "none" or config.get("lora_bias"):
        raise AdapterError(f"{source} holds more than A and B (DoRA or biases)", "plain LoRA and rsLoRA can be turned")


def _mask(size: int, keep: Sequence[int] | None) -> Tensor:
    mask = torch.ones(size, dtype=torch.float64)
    if keep is not None:
        mask.zero_()
        mask[[index for index in keep if index < size]] = 1.0
    return mask
