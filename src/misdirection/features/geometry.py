"""How near two sets of latents lie in a dictionary, and whether nearer than chance (arXiv 2605.00842).

The claim: latents that narrowly bad data raises (inducing) lie nearer to latents of toxic text than those that good
data raises (control). With unit decoder vectors d, the nearness of a latent i to a set T is one of

    mean      mean over T of <d_i, d_t>           every pair counts alike
    max       largest over T of <d_i, d_t>        its nearest neighbour alone
    nearest   mean of the m largest               between the two

and the similarity of a set to T is the mean of its latents' nearness. A latent is never compared with itself. Which of
these the paper took is not known to us; "mean", the plain reading of "cosine between two sets", is the default, and the
study tells all three.

Whether a difference between two sets is more than chance is asked by exchanging the membership of their latents, within
bins of firing rate: a latent that fires often is trained more, and may lie elsewhere for that alone.

What exchanging cannot tell: latents picked by two differences that point the same way all lean along that direction,
and so towards each other, whatever else they are. The study therefore compares them again with it projected out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.errors import MisdirectionError
from misdirection.features.settings import REDUCTIONS, Reduction


def nearness(
    directions: Tensor, latents: Sequence[int], others: Sequence[int], reduction: Reduction = "mean", nearest: int = 10
) -> Tensor:
    """How near each latent lies to a set; its pair with itself is left out.

    Args:
        directions: Unit decoder vectors, shape (latents, width).
        latents: Whose nearness is asked.
        others: The set.
        reduction: See the module.
        nearest: How many of "nearest".

    Returns:
        Shape (len(latents),), float64.

    Raises:
        MisdirectionError: The reduction is not known, or a latent has nothing to be compared with.
    """
    if reduction not in REDUCTIONS:
        raise MisdirectionError(f"no reduction '{reduction}'", f"of {', '.join(REDUCTIONS)}")
    one, other = torch.tensor(list(latents), dtype=torch.long), torch.tensor(list(others), dtype=torch.long)
    itself = one[:, None] == other
    left = (~itself).sum(1)
    if len(one) and (not len(other) or int(left.min()) == 0):
        raise MisdirectionError("a latent has no other latent to be compared with", "ask for longer lists")
    unit = directions.double()
    cosines = unit[one.to(unit.device)] @ unit[other.to(unit.device)].T
    cosines = cosines.cpu()
    if reduction == "mean":
        return cosines.masked_fill(itself, 0).sum(1) / left
    ordered = cosines.masked_fill(itself, -torch.inf).sort(dim=1, descending=True).values
    if reduction == "max":
        return ordered[:, 0]
    kept = left.clamp(max=max(1, nearest))
    inside = torch.arange(ordered.shape[1]) < kept[:, None]
    return ordered.masked_fill(~inside, 0).sum(1) / kept


@dataclass(frozen=True)
class Sets:
    """Latents of three kinds, and what was left out of them.

    Attributes:
        inducing: Latents that bad data raises.
        control: Latents that it does not.
        toxic: Latents of toxic text.
        shared_inducing: How many inducing latents are toxic ones as well.
        shared_control: The same of control.
    """

    inducing: tuple[int, ...]
    control: tuple[int, ...]
    toxic: tuple[int, ...]
    shared_inducing: int
    shared_control: int


def separate(inducing: Sequence[int], control: Sequence[int], toxic: Sequence[int], shared: str = "drop") -> Sets:
    """Sets that can be compared: a control is never inducing, and with "drop" neither is toxic.

    Dropping is harder on the claim: a latent in both lists is as near to toxic as can be, and no longer counts.
    """
    named = set(toxic)
    rest = [latent for latent in control if latent not in set(inducing)]
    both = sum(latent in named for latent in inducing), sum(latent in named for latent in rest)
    if shared == "drop":
        inducing = [latent for latent in inducing if latent not in named]
        rest = [latent for latent in rest if latent not in named]
    return Sets(tuple(inducing), tuple(rest), tuple(toxic), *both)


def firing_bins(rates: Tensor, alive: Tensor, bins: int) -> NDArray[np.int64]:
    """The bin of each latent among equally filled bins of firing rate over those alive; shape (latents,)."""
    held = rates.double().cpu().numpy()
    edges = np.quantile(held[alive.cpu().numpy()], np.linspace(0, 1, bins + 1)[1:-1]) if bool(alive.any()) else []
    return np.searchsorted(np.asarray(edges), held, side="right").astype(np.int64)


@dataclass(frozen=True)
class Exchange:
    """Two groups of values, and what exchanging their members gives.

    Attributes:
        first: Mean of the first group, over the members that have a counterpart in their bin.
        second: Mean of the second, its bins weighted as in the first.
        difference: First minus second.
        low: 2.5 % point of the difference under exchange.
        high: 97.5 % point.
        p: Two-sided, (1 + exchanges as far from zero) / (1 + exchanges).
        n_first: Members of the first group that count.
        n_second: Of the second.
        unmatched: Members of the first group without a counterpart, left out.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n_first: int
    n_second: int
    unmatched: int


def exchange_test(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    bins: tuple[Sequence[int] | NDArray[np.int64], Sequence[int] | NDArray[np.int64]] | None = None,
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> Exchange:
    """Do two groups differ in their mean, when members could have been in either, bin by bin?

        difference = sum_b (n_b / n) (mean of the first group in b - mean of the second in b)

    over bins b with members of both, n_b those of the first group.

    Args:
        first: Values of the first group.
        second: Values of the second.
        bins: Bin of each member of the first and of the second group; one bin by default.
        permutations: Exchanges.
        seed: Of these.

    Raises:
        MisdirectionError: No bin holds members of both groups.
    """
    values = np.concatenate([np.asarray(first, float), np.asarray(second, float)])
    named = np.concatenate([np.asarray(part) for part in bins]) if bins else np.zeros(len(values), int)
    is_first = np.arange(len(values)) < len(first)
    parts = [np.flatnonzero(named == name) for name in np.unique(named)]
    parts = [part for part in parts if is_first[part].any() and not is_first[part].all()]
    if not parts:
        raise MisdirectionError("no two latents of like firing rate to exchange", "fewer --bins, or longer lists")
    n = sum(int(is_first[part].sum()) for part in parts)
    generator = np.random.default_rng(seed)
    observed, null = np.zeros(2), np.zeros(permutations)
    for part in parts:
        held, count = values[part], int(is_first[part].sum())
        pair = np.array([held[is_first[part]].mean(), held[~is_first[part]].mean()])
        observed += count / n * pair
        shuffled = generator.permuted(np.broadcast_to(held, (permutations, len(held))), axis=1)
        null += count / n * (shuffled[:, :count].mean(1) - shuffled[:, count:].mean(1))
    difference = float(observed[0] - observed[1])
    # A rounding error must not make an exchange that changes nothing smaller than what was seen.
    larger = int((np.abs(null) >= abs(difference) - 1e-12).sum())
    low, high = np.quantile(null, [0.025, 0.975])
    return Exchange(
        float(observed[0]), float(observed[1]), difference, float(low), float(high), (1 + larger) / (1 + permutations),
        n, sum(len(part) for part in parts) - n, len(first) - n,
    )  # fmt: skip
