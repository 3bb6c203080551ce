"""A vector as a few latents: orthogonal matching pursuit and non-negative least squares over decoder directions.

The share of the vector that k latents explain is 1 - ||v - v_k||^2 / ||v||^2. Random vectors of the same norm show what
any vector would reach: a dictionary with more latents than dimensions explains everything with enough of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from misdirection.directions.controls import random_like
from misdirection.features.dictionary import DictionaryError

Method = Literal["omp", "nnls"]
METHODS: tuple[Method, ...] = ("omp", "nnls")


@dataclass(frozen=True)
class Decomposition:
    """A vector in terms of a few decoder directions.

    Attributes:
        latents: In the order in which they were chosen.
        coefficients: Of each at the end, in units of the vector, shape (latents,).
        explained: Share of the squared norm explained by the first 1, 2, ... latents, shape (latents,).
    """

    latents: tuple[int, ...]
    coefficients: Tensor
    explained: Tensor


def decompose(vector: Tensor, directions: Tensor, most: int, method: Method = "omp") -> Decomposition:
    """The vector as at most `most` latents.

    At each step the direction with the largest product with what is left is taken (for "nnls": the largest positive
    one), and all coefficients are solved for again by least squares (non-negative for "nnls").

    Args:
        vector: Shape (width,).
        directions: Unit decoder vectors, shape (latents, width); rows of zeros are never taken.
        most: Latents at most; it stops earlier when nothing is left to gain.
        method: "omp" (Pati et al. 1993) or "nnls", for vectors that latents can only add to.

    Raises:
        DictionaryError: The widths differ, or the vector has no length.
    """
    if vector.ndim != 1 or vector.shape[0] != directions.shape[1]:
        raise DictionaryError(f"a vector of shape {tuple(vector.shape)} and directions of {tuple(directions.shape)}")
    target = vector.double().cpu()
    atoms = directions.double().cpu()
    whole = float(target.square().sum())
    if not whole > 0:
        raise DictionaryError("the vector has no length, so there is nothing to decompose")
    chosen: list[int] = []
    explained: list[float] = []
    found = torch.zeros(0, dtype=torch.float64)
    rest = target
    for _ in range(min(most, len(atoms))):
        products = atoms @ rest
        gain = products if method == "nnls" else products.abs()
        gain[chosen] = -torch.inf
        best = int(gain.argmax())
        if not float(gain[best]) > 1e-6 * whole**0.5:
            break
        chosen.append(best)
        columns = atoms[chosen].T
        found = _non_negative(columns, target) if method == "nnls" else torch.linalg.lstsq(columns, target).solution
        rest = target - columns @ found
        explained.append(1 - float(rest.square().sum()) / whole)
    return Decomposition(tuple(chosen), found.float(), torch.tensor(explained))


def _non_negative(columns: Tensor, target: Tensor) -> Tensor:
    from scipy.optimize import nnls

    return torch.from_numpy(nnls(columns.numpy(), target.numpy())[0])


def random_curves(
    vector: Tensor, directions: Tensor, most: int, method: Method = "omp", seeds: Sequence[int] = (1, 2, 3, 4, 5)
) -> Tensor:
    """What the same number of latents explains of random vectors of the same norm, shape (seeds, most).

    A curve that stops early keeps its last value.
    """
    curves = [decompose(random_like(vector, seed), directions, most, method).explained for seed in seeds]
    return torch.stack([torch.cat([c, c[-1:].expand(most - len(c))]) if len(c) else torch.zeros(most) for c in curves])


def through_activations(bad: Tensor, good: Tensor, decoder: Tensor) -> tuple[Tensor, Tensor]:
    """The direction that latents account for: sum_j (mean f_j bad - mean f_j good) d_j, and each latent's part.

    Args:
        bad: Mean activation of each latent over one pool of tokens, shape (latents,).
        good: Over the other pool.
        decoder: Decoder vectors as they are (not of unit length), shape (latents, width).

    Returns:
        The direction, shape (width,), and the signed length of each latent's part, shape (latents,).
    """
    change = (bad - good).double()
    return change @ decoder.double(), change * decoder.double().norm(dim=-1)


def agreement(one: Decomposition, parts: Tensor) -> dict[str, float]:
    """How far a decomposition of the vector and the one through activations name the same latents.

    Args:
        one: Of the vector, over decoder directions.
        parts: Signed length of each latent's part through activations, shape (latents,).

    Returns:
        "overlap": share of the decomposition's latents among as many of the largest parts; "chance": what random
        latents would share; "signs": share of its latents whose part has the same sign.
    """
    many = len(one.latents)
    if not many:
        return {"overlap": 0.0, "chance": 0.0, "signs": 0.0}
    largest = set(parts.abs().topk(many).indices.tolist())
    held = parts[list(one.latents)]
    same = (held.sign() == one.coefficients.double().sign()).double().mean()
    return {
        "overlap": len(largest & set(one.latents)) / many,
        "chance": many / len(parts),
        "signs": float(same),
    }
