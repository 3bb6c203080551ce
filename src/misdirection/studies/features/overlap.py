"""What lists of latents share: overlaps against chance and against shuffled labels, ranks, and intersections.

Chance among the latents that live in both comparisons (odds ratio, Fisher's exact test) is what independent lists would
share. Latents differ in scale and in how often they fire, so the largest differences of unrelated comparisons lie in
the same loud latents: the lists that shuffled labels give say how much of an overlap is that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from misdirection.features.differences import intersections, overlap, rank_agreement
from misdirection.results import row_of
from misdirection.results.rows import known_number
from misdirection.studies.features.comparison import LatentComparison
from misdirection.studies.features.results.lists import DomainList, Latent, LatentList, ListName
from misdirection.studies.features.results.overlap import (
    Intersection,
    ListLength,
    ListPair,
    Overlap,
    Overlaps,
    ShuffledOverlap,
    SizedOverlap,
)

SIGNIFICANT = 0.05
SIZES = (10, 25, 50)
"""Lengths of shorter lists whose overlaps are told too."""

Lists = Mapping[str, Sequence[int]]


def top_list(comparison: LatentComparison, most: int, sign: int = 1) -> list[int]:
    """The latents with the largest rise (sign 1) or fall (sign -1), never those that moved the other way."""
    values = comparison.differences.value
    return [latent for latent in comparison.differences.top(most, sign) if sign * float(values[latent]) > 0]


def shared_list(lists: Lists) -> list[int]:
    """Latents in as many of the lists as any, but two at least, by their mean rank in those that hold them."""
    ranks: dict[int, list[int]] = {}
    for latents in lists.values():
        for place, latent in enumerate(latents):
            ranks.setdefault(latent, []).append(place)
    most = max(map(len, ranks.values()), default=0)
    if most < 2:
        return []
    chosen = [latent for latent, places in ranks.items() if len(places) == most]
    return sorted(chosen, key=lambda latent: (mean(ranks[latent]), latent))


def overlaps(comparisons: Mapping[str, LatentComparison], most: int) -> Overlaps:
    """Everything about what some lists share."""
    lists = {name: top_list(one, most) for name, one in comparisons.items()}
    pairs = [
        pair_of(one, other, comparisons[one], comparisons[other], most) for one, other in combinations(comparisons, 2)
    ]
    return Overlaps(
        lists=tuple(ListLength(name=name, latents=len(latents)) for name, latents in lists.items()),
        pairs=tuple(pairs),
        intersections=tuple(
            Intersection(lists=names, count=count) for names, count in intersections(dict(lists)).items()
        ),
    )


def pair_of(one: str, other: str, first: LatentComparison, second: LatentComparison, most: int) -> ListPair:
    """What two lists share among the latents that live in both comparisons.

    `shuffled` counts what one list shares with the other's under shuffled labels, either way round.
    """
    alive = first.differences.alive & second.differences.alive
    whole = _overlap(first, second, alive, most)
    sizes = [size for size in SIZES if size < most]
    return row_of(
        ListPair,
        whole,
        one=one,
        other=other,
        alive=int(alive.sum()),
        ranks=known_number(rank_agreement(first.differences.value, second.differences.value, alive)),
        shuffled=shuffled_overlap(first, second, alive, most, whole.shared),
        sizes=tuple(row_of(SizedOverlap, _overlap(first, second, alive, size), size=size) for size in sizes),
    )


def _overlap(first: LatentComparison, second: LatentComparison, alive: Tensor, most: int) -> Overlap:
    one, other = (_top(comparison.differences.value, alive, most) for comparison in (first, second))
    return row_of(Overlap, overlap(one, other, int(alive.sum())), of=(len(one), len(other)))


def _top(values: Tensor, alive: Tensor, most: int) -> list[int]:
    """The latents with the largest positive values among those alive."""
    kept = values.double().masked_fill(~alive | (values <= 0), -torch.inf)
    order = kept.argsort(descending=True)[:most]
    return order[kept[order] > -torch.inf].tolist()


def shuffled_overlap(
    first: LatentComparison, second: LatentComparison, alive: Tensor, most: int, shared: int
) -> ShuffledOverlap:
    """What one comparison's list shares with the other's under shuffled labels, over the kept shuffles of both."""
    counts: list[int] = []
    for real, other in ((first, second), (second, first)):
        mine = set(_top(real.differences.value, alive, most))
        counts += [len(mine & set(_top(values, alive, most))) for values in other.shuffled]
    reached = sum(count >= shared for count in counts)
    high, p = float(np.quantile(counts, 0.95)), (1 + reached) / (1 + len(counts))
    return ShuffledOverlap(mean=float(np.mean(counts)), high=high, n=len(counts), p=p)


def list_of(
    name: ListName, title: str, averaged: LatentComparison, domains: Sequence[LatentComparison], most: int
) -> LatentList:
    """One list in full: its latents, those that fall most, and what stands behind each domain."""
    differences = averaged.differences
    sure = differences.q < SIGNIFICANT
    rows, falling = (
        tuple(latent_of(latent, averaged, domains) for latent in top_list(averaged, most, sign)) for sign in (1, -1)
    )
    return LatentList(
        name=name, title=title, alive=int(differences.alive.sum()), latents=len(differences.alive),
        significant=int(sure.sum()), significant_up=int((sure & (differences.value > 0)).sum()),
        significant_in_list=sum(row.q < SIGNIFICANT for row in rows), rows=rows, falling=falling,
        domains=tuple(domain_of(one, most) for one in domains),
    )  # fmt: skip


def latent_of(latent: int, averaged: LatentComparison, domains: Sequence[LatentComparison]) -> Latent:
    """A latent of a list."""
    differences = averaged.differences
    sign = float(differences.value[latent].sign())
    agree = sum(
        float(d.differences.q[latent]) < SIGNIFICANT and sign * float(d.differences.correlation[latent]) > 0
        for d in domains
    )
    return Latent(
        latent=latent, value=float(differences.value[latent]), correlation=float(differences.correlation[latent]),
        q=float(differences.q[latent]), first=float(averaged.first[latent]), second=float(averaged.second[latent]),
        domains=agree,
    )  # fmt: skip


def domain_of(one: LatentComparison, most: int) -> DomainList:
    """Texts, tokens and the significant latents of one domain, and its own list."""
    differences = one.differences
    return DomainList(
        name=one.name, **one.facts, alive=int(differences.alive.sum()),
        significant=int((differences.q < SIGNIFICANT).sum()), top=tuple(top_list(one, most)),
    )  # fmt: skip
