"""How every latent differs between two classes of texts, and the mean of such over domains.

A comparison holds, for every latent, the statistic with its correlation, p and q, the means of both classes, and the
statistic under some of the shuffled labelings, by which overlaps of lists are judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from misdirection.features.differences import Differences, Found, Side, compare_texts, correlations, label_columns
from misdirection.features.lens import Lens
from misdirection.features.settings import Statistic
from misdirection.statistics import benjamini_hochberg

KEPT_SHUFFLES = 50
"""Shuffled labelings whose statistic is kept, at most: 4 bytes a latent each."""


@dataclass(frozen=True)
class LatentComparison:
    """A list of latents, and what it is judged by.

    Attributes:
        name: Of the domain or fine-tune.
        differences: The statistic of every latent.
        first: Mean activation in the first class, shape (latents,).
        second: In the second class.
        shuffled: The statistic under shuffled labels (`unlabelled`), shape (kept shuffles, latents), float32.
        facts: Texts and tokens of both classes, and within what labels were shuffled.
    """

    name: str
    differences: Differences
    first: Tensor
    second: Tensor
    shuffled: Tensor
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """How latents are ordered, as `FeaturesConfig` has it."""

    statistic: str
    pool: str
    shuffles: int
    seed: int


@dataclass(frozen=True)
class ComparedLatents:
    """What a comparison gives: see `LatentComparison`; and the tokens of both classes."""

    differences: Differences
    first: Tensor
    second: Tensor
    shuffled: Tensor
    tokens: tuple[int, int]

    def told(self, name: str, facts: Mapping[str, Any]) -> LatentComparison:
        """The comparison with its name and what is known of it."""
        facts = {**facts, "tokens": self.tokens}
        return LatentComparison(name, self.differences, self.first, self.second, self.shuffled, facts)


def compared(
    lens: Lens, first: Side, second: Side, span: str, groups: Sequence[str] | None, how: Listing
) -> ComparedLatents:
    """How every latent differs between two classes of texts; labels are shuffled within groups."""
    statistic = cast(Statistic, how.statistic)
    differing = compare_texts(
        lens.dictionary, first, second, span=span, groups=groups, statistic=statistic, pool=how.pool,
        shuffles=how.shuffles, seed=how.seed, layer=lens.layer, places=1,
    )  # fmt: skip
    noise = unlabelled(differing, first, second, span, groups, statistic, how.pool, how.shuffles, how.seed)
    means = differing.statistics.mean(how.pool)
    one, other = (int(count) for count in differing.statistics.counts["token"][:2])
    # A copy: the file of a tensor holds all that it is a part of.
    kept = noise[:KEPT_SHUFFLES].float().clone()
    return ComparedLatents(differing.differences, means[0].clone(), means[1].clone(), kept, (one, other))


def statistic_columns(differing: Found, statistic: Statistic, pool: str) -> Tensor:
    """The statistic under the labels and under every shuffle of them, shape (1 + shuffles, latents)."""
    if statistic == "correlation":
        return correlations(differing.statistics, pool)
    values = differing.statistics.firing_rate if statistic == "firing" else differing.statistics.mean(pool)
    return values[0::2] - values[1::2]


def unlabelled(
    differing: Found,
    first: Side,
    second: Side,
    span: str,
    groups: Sequence[str] | None,
    statistic: Statistic,
    pool: str,
    shuffles: int,
    seed: int,
) -> Tensor:
    """The statistic under shuffled labels without what these have in common with the labels, (shuffles, latents).

    A shuffle puts by chance somewhat more texts of the one class on one side, and so shows e times the true difference,
    e = (share of the first class among its first) - (share among its second). Lists of loud latents, however small the
    noise, would name the true ones again; e times the true statistic is taken out.
    """
    texts = [*first.texts, *second.texts]
    labels = [True] * len(first.texts) + [False] * len(second.texts)
    sizes = np.array([past - start for start, past in (text.spans[span] for text in texts)], dtype=float)
    weights = sizes if pool == "token" or statistic == "firing" else np.ones(len(texts))
    columns = label_columns(labels, shuffles, groups=groups, seed=seed)[:, 2:] * weights[:, None]
    shares = columns[: len(first.texts)].sum(0) / columns.sum(0)
    common = torch.from_numpy(shares[0::2] - shares[1::2])
    every = statistic_columns(differing, statistic, pool)
    return every[1:] - common[:, None] * every[0]


def mean_comparison(comparisons: Sequence[LatentComparison]) -> LatentComparison:
    """The mean over domains (2506.19823 orders latents by it), as one comparison.

    Statistic, correlation and means are averaged, a latent that is silent in one domain counting as 0 there. The p
    values are combined by Stouffer: z = sum_i sign(r_i) z(p_i / 2) / sqrt(n), for labels are shuffled independently in
    each; q is Benjamini and Hochberg's over the latents that live in any. The s-th shuffle is the mean of the s-th
    shuffles.
    """
    each = [c.differences for c in comparisons]
    alive = torch.stack([d.alive for d in each]).any(0)
    scores = torch.stack([d.correlation.sign() * -torch.special.ndtri(d.p / 2) for d in each])
    combined = scores.sum(0) / len(each) ** 0.5
    p = torch.where(alive, 2 * torch.special.ndtr(-combined.abs()), 1.0).clamp(max=1)
    q = torch.ones_like(p)
    q[alive] = torch.tensor(np.asarray(benjamini_hochberg(p[alive].tolist())), dtype=q.dtype)
    average = {name: torch.stack([getattr(d, name) for d in each]).mean(0) for name in ("value", "correlation")}
    few = min(len(c.shuffled) for c in comparisons)
    return LatentComparison(
        "mean",
        Differences(**average, p=p, q=q, alive=alive),
        torch.stack([c.first for c in comparisons]).mean(0),
        torch.stack([c.second for c in comparisons]).mean(0),
        torch.stack([c.shuffled[:few] for c in comparisons]).mean(0),
        {"domains": [c.name for c in comparisons]},
    )
