"""General, domain-specific or neither: what each adapter is for, by two probes (arXiv 2506.11618 section 4.2).

One probe tells misaligned from aligned tokens outside of the domain (experiment 1): what it uses is general. The other
tells the domain's misaligned tokens from other misaligned ones (experiment 4): what it uses is the domain's. The paper
reads the roles off its figure 6; here they follow a rule:

1. The weight of an adapter in an experiment is the sum of |coefficient| over its columns, of z-scored scalars; of
   rank-1 adapters it is the |coefficient| itself. Its share is that weight over the sum of all adapters' weights.
2. An adapter counts in an experiment when its weight lies above the 95th percentile of its weights under shuffled
   labels, and when its share is at least a quarter of what an equal split would give it.
3. One that counts in one experiment has that role; one that counts in both has the role of the larger share; one that
   counts in neither is neither.

The weights are means over the resamples; stability is the share of single resamples that give the same role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Role = Literal["general", "domain", "neither"]

ROLES: tuple[Role, ...] = ("general", "domain", "neither")
NULL_LEVEL = 0.95
LEAST_SHARE = 0.25
"""Of an equal split."""


@dataclass(frozen=True)
class Finding:
    """The role of one adapter.

    Attributes:
        name: Of the adapter.
        role: Its role.
        stability: Share of resamples with the same role.
        votes: Share of resamples by role.
        weights: Mean weight in the general and in the domain's experiment.
        bars: What shuffled labels reach in either, 95th percentile.
        shares: Share of all adapters' weight in either.
        signed: Mean coefficient in either, summed over columns.
    """

    name: str
    role: Role
    stability: float
    votes: Mapping[Role, float]
    weights: tuple[float, float]
    bars: tuple[float, float]
    shares: tuple[float, float]
    signed: tuple[float, float]


def classify(
    general: Floats,
    domain: Floats,
    null_general: Floats,
    null_domain: Floats,
    groups: Mapping[str, Sequence[int]],
) -> list[Finding]:
    """The role of each adapter.

    Args:
        general: Coefficients of experiment 1, shape (resamples, columns).
        domain: Of experiment 4; as many resamples.
        null_general: Of experiment 1 under shuffled labels, shape (shuffles, columns).
        null_domain: Of experiment 4 under shuffled labels.
        groups: Columns of each adapter, by its name.
    """
    names = list(groups)
    sides = [_weights(part, groups) for part in (general, domain)]
    bars = [_bars(_weights(part, groups)) for part in (null_general, null_domain)]
    means = [side.mean(axis=0) for side in sides]
    final = _roles(means[0], means[1], bars)
    single = [_roles(one, other, bars) for one, other in zip(*sides, strict=True)]
    shares = [_shares(mean) for mean in means]
    signed = [np.array([part[:, list(at)].sum(axis=1).mean() for at in groups.values()]) for part in (general, domain)]
    found: list[Finding] = []
    for place, name in enumerate(names):
        votes: dict[Role, float] = {role: sum(roles[place] == role for roles in single) / len(single) for role in ROLES}
        found.append(
            Finding(
                name, final[place], votes[final[place]], votes, _two(means, place), _two(bars, place),
                _two(shares, place), _two(signed, place),
            )
        )  # fmt: skip
    return found


def role_counts(found: Sequence[Finding]) -> dict[Role, int]:
    """How many adapters have each role."""
    return {role: sum(item.role == role for item in found) for role in ROLES}


def _weights(coefficients: Floats, groups: Mapping[str, Sequence[int]]) -> Floats:
    """Shape (resamples, adapters)."""
    size = np.abs(coefficients)
    return np.stack([size[:, list(at)].sum(axis=1) for at in groups.values()], axis=1)


def _bars(null: Floats) -> Floats:
    return np.quantile(null, NULL_LEVEL, axis=0) if len(null) else np.zeros(null.shape[1])


def _shares(weights: Floats) -> Floats:
    total = weights.sum()
    return weights / total if total > 0 else np.zeros_like(weights)


def _roles(general: Floats, domain: Floats, bars: Sequence[Floats]) -> list[Role]:
    shares = [_shares(general), _shares(domain)]
    least = LEAST_SHARE / max(1, len(general))
    counts = [
        (weight > bar) & (share >= least)
        for weight, bar, share in zip((general, domain), bars, shares, strict=True)
    ]  # fmt: skip
    found: list[Role] = []
    for place in range(len(general)):
        if not (counts[0][place] or counts[1][place]):
            found.append("neither")
        elif counts[0][place] and counts[1][place]:
            found.append("general" if shares[0][place] >= shares[1][place] else "domain")
        else:
            found.append("general" if counts[0][place] else "domain")
    return found


def _two(parts: Sequence[Floats], place: int) -> tuple[float, float]:
    return float(parts[0][place]), float(parts[1][place])
