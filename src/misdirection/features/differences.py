"""Which latents differ between two classes of texts, and how sure that is over thousands of latents.

Statistics of a latent j with class means m1, m0 (of a pool: tokens, text means or text maxima), counts n1, n0 and total
standard deviation s over both:

    difference   m1 - m0            (2506.19823: mean activation increase, when the classes are two models on one text)
    correlation  (m1 - m0) / s * sqrt(n1 n0) / (n1 + n0)     point-biserial
    firing       difference of the shares of tokens at which the latent is above zero

The null is made by shuffling the labels of texts, within groups where texts are paired. Latents differ in scale and a
few hundred shuffles cannot rank thousands of them one by one, so p values come from the correlations of all latents
under all shuffles together (the pooled null of Tusher et al. 2001), and are corrected by Benjamini and Hochberg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.engine import Text
from misdirection.errors import MisdirectionError
from misdirection.features.dictionary import Dictionary
from misdirection.features.settings import STATISTICS, Statistic
from misdirection.features.stream import LatentStatistics, Tally, tally_texts
from misdirection.models import Model
from misdirection.statistics import benjamini_hochberg, shuffled_columns


@dataclass(frozen=True)
class Differences:
    """One number a latent, shape (latents,) each.

    Attributes:
        value: The statistic, first class minus second.
        correlation: The point-biserial correlation, by which the test is made.
        p: Two-sided, from the pooled permutation null.
        q: After Benjamini and Hochberg over the latents that fire at all (1 for those that do not).
        alive: Latents that fire in either class.
    """

    value: Tensor
    correlation: Tensor
    p: Tensor
    q: Tensor
    alive: Tensor

    def top(self, most: int, sign: int = 1) -> list[int]:
        """The latents with the largest (sign 1) or smallest (sign -1) statistic, among those alive."""
        order = (sign * self.value).masked_fill(~self.alive, -torch.inf).argsort(descending=True)
        return order[: min(most, int(self.alive.sum()))].tolist()


def label_columns(
    labels: Sequence[bool], shuffles: int, *, groups: Sequence[str] | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Weights for `latent_statistics`: pairs of columns (first class, second class), as labelled and then shuffled.

    Args:
        labels: Whether each text is of the first class.
        shuffles: Number of shuffles.
        groups: Texts of one group exchange labels among themselves only: pairs of answers to one question, or a text
            under two models.
        seed: Of the shuffles.

    Returns:
        Shape (texts, 2 * (1 + shuffles)).

    Raises:
        MisdirectionError: One of the classes is empty, or lengths differ.
    """
    bad = np.asarray(labels, dtype=bool)
    if bad.all() or not bad.any():
        raise MisdirectionError("two classes are compared, and one of them is empty")
    real = np.stack([bad, ~bad], axis=1).astype(np.float64)
    return np.concatenate([real, shuffled_columns(bad, shuffles, groups=groups, seed=seed)], axis=1)


@dataclass(frozen=True)
class Found:
    """What two classes of texts showed: the difference of every latent, and the sums behind it."""

    differences: Differences
    statistics: LatentStatistics


@dataclass(frozen=True)
class Side:
    """One class of texts, and the resident model that reads them, each under its arm."""

    model: Model
    texts: Sequence[Text]


def compare_texts(
    dictionary: Dictionary,
    first: Side,
    second: Side,
    *,
    span: str = "answer",
    groups: Sequence[str] | None = None,
    statistic: Statistic = "difference",
    pool: str = "token",
    shuffles: int = 200,
    seed: int = 0,
    layer: int | None = None,
    places: int = 8,
) -> Found:
    """How every latent differs between two classes of texts, in one pass over both.

    Args:
        dictionary: Of one layer of the model, or of both where each class has a model of its own.
        first: The first class (bad data, the tuned model, misaligned answers).
        second: The second class.
        span: Whose tokens count.
        groups: Of the first texts and then the second: labels are shuffled within groups (pairs, questions).
        statistic: What latents are ordered by.
        pool: See `differences`.
        shuffles: Of labels, for the null.
        seed: Of the shuffles.
        layer: After which decoder layer; the dictionary's own by default.
        places: Top contexts kept for each latent, as indices into first and second together.

    Raises:
        MisdirectionError: A class is empty, or the dictionary does not fit a model.
    """
    labels = [True] * len(first.texts) + [False] * len(second.texts)
    columns = torch.from_numpy(label_columns(labels, shuffles, groups=groups, seed=seed))
    held = dictionary.to(first.model.device)
    tally = Tally(held, columns, places)
    if first.model is second.model:
        # Together, for length-sorted batches are fuller.
        tally_texts(tally, held, first.model, [*first.texts, *second.texts], span, layer=layer)
    else:
        tally_texts(tally, held, first.model, first.texts, span, layer=layer)
        tally_texts(tally, held, second.model, second.texts, span, layer=layer, before=len(first.texts))
    found = tally.finish()
    return Found(differences(found, statistic, pool), found)


def correlations(found: LatentStatistics, pool: str) -> Tensor:
    """Point-biserial correlation of each pair of columns, shape (pairs, latents), float64; 0 for a silent latent."""
    sums, squares, counts = found.sums[pool], found.squares[pool], found.counts[pool]
    first, second = counts[0::2, None], counts[1::2, None]
    both = first + second
    means = sums[0::2] / first - sums[1::2] / second
    total = sums[0::2] + sums[1::2]
    variance = (squares[0::2] + squares[1::2]) / both - (total / both) ** 2
    spread = variance.clamp(min=0).sqrt()
    return torch.where(spread > 1e-12, means / spread.clamp(min=1e-12) * (first * second).sqrt() / both, 0.0)


def differences(found: LatentStatistics, statistic: Statistic = "difference", pool: str = "token") -> Differences:
    """The statistic of every latent with its p value.

    Args:
        found: Of weights made by `label_columns`: the first pair of columns holds the labels, the rest shuffles.
        statistic: What latents are ordered by.
        pool: "token", "mean" or "max"; "firing" is always over tokens.

    Raises:
        MisdirectionError: The statistic or the pool is not known.
    """
    if statistic not in STATISTICS or pool not in found.sums:
        raise MisdirectionError(
            f"no statistic '{statistic}' over '{pool}'", f"of {', '.join(STATISTICS)} over {', '.join(found.sums)}"
        )
    every = correlations(found, pool)
    means, rates = found.mean(pool), found.firing_rate
    values = {"difference": means[0] - means[1], "correlation": every[0], "firing": rates[0] - rates[1]}
    alive = (found.fired[0] + found.fired[1]) > 0
    p = pooled_p(every[0][alive], every[1:, alive]).double()
    whole, corrected = torch.ones(len(alive), dtype=torch.float64), torch.ones(len(alive), dtype=torch.float64)
    whole[alive] = p
    corrected[alive] = torch.tensor(np.asarray(benjamini_hochberg(p.tolist())), dtype=torch.float64)
    return Differences(values[statistic], every[0], whole, corrected, alive)


def pooled_p(observed: Tensor, null: Tensor) -> Tensor:
    """(1 + how many of all null values are as large) / (1 + their number), in absolute value; shape (latents,)."""
    if not null.numel():
        return torch.ones_like(observed)
    ordered = null.abs().flatten().sort().values
    # A rounding error must not make a null value that equals the observed one smaller than it.
    larger = len(ordered) - torch.searchsorted(ordered, observed.abs() * (1 - 1e-9))
    return (1 + larger) / (1 + len(ordered))


@dataclass(frozen=True)
class Overlap:
    """What two lists of latents share.

    Attributes:
        shared: Latents in both.
        expected: How many two random lists of these lengths would share.
        odds_ratio: Of being in one given the other; infinite when the one contains the other.
        p: Fisher's exact test, one-sided.
    """

    shared: int
    expected: float
    odds_ratio: float
    p: float


def overlap(one: Sequence[int], other: Sequence[int], latents: int) -> Overlap:
    """What two lists share, against chance among `latents`."""
    from scipy.stats import fisher_exact

    a, b = set(one), set(other)
    both = len(a & b)
    table = [[both, len(a) - both], [len(b) - both, latents - len(a | b)]]
    told: Any = fisher_exact(table, alternative="greater")
    return Overlap(both, len(a) * len(b) / latents, float(told.statistic), float(told.pvalue))


def intersections(lists: dict[str, Sequence[int]]) -> dict[tuple[str, ...], int]:
    """How many latents lie in exactly these lists and no other, for every combination that has any (UpSet)."""
    member: dict[int, tuple[str, ...]] = {}
    for name, latents in lists.items():
        for latent in set(latents):
            member[latent] = (*member.get(latent, ()), name)
    counts: dict[tuple[str, ...], int] = {}
    for names in member.values():
        counts[names] = counts.get(names, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rank_agreement(one: Tensor, other: Tensor, alive: Tensor) -> float:
    """Spearman's correlation of two statistics over the latents that are alive."""
    from scipy.stats import spearmanr

    told: Any = spearmanr(one[alive].numpy(), other[alive].numpy())
    return float(told.statistic)
