"""What lists of latents share: overlaps against chance and against shuffled labels, ranks, and intersections.

Chance among the latents that live in both comparisons (odds ratio, Fisher's exact test) is what independent lists would
share. Latents differ in scale and in how often they fire, so the largest differences of unrelated comparisons lie in
the same loud latents: the lists that shuffled labels give say how much of an overlap is that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misdirection.features.differences import intersections, overlap, rank_agreement
from misdirection.studies.features.comparison import Comparison

SIGNIFICANT = 0.05
SIZES = (10, 25, 50)
"""Lengths of shorter lists whose overlaps are told too."""

Lists = Mapping[str, Sequence[int]]
Row = dict[str, Any]


def top_list(held: Comparison, most: int, sign: int = 1) -> list[int]:
    """The latents with the largest rise (sign 1) or fall (sign -1), never those that moved the other way."""
    values = held.differences.value
    return [latent for latent in held.differences.top(most, sign) if sign * float(values[latent]) > 0]


def shared_list(lists: Lists) -> list[int]:
    """Latents in as many of the lists as any, but two at least, by their mean rank in those that hold them."""
    ranks: dict[int, list[int]] = {}
    for held in lists.values():
        for place, latent in enumerate(held):
            ranks.setdefault(latent, []).append(place)
    most = max(map(len, ranks.values()), default=0)
    if most < 2:
        return []
    chosen = [latent for latent, places in ranks.items() if len(places) == most]
    return sorted(chosen, key=lambda latent: (mean(ranks[latent]), latent))


def overlaps(comparisons: Mapping[str, Comparison], most: int) -> Row:
    """Everything about what some lists share, as plain values.

    Returns:
        "lists": [{"name", "latents"}]; "pairs": a row for every two (`pair_row`); "intersections": how many latents
        stand in exactly these lists, [{"lists", "count"}].
    """
    lists = {name: top_list(held, most) for name, held in comparisons.items()}
    pairs = [
        pair_row(one, other, comparisons[one], comparisons[other], most) for one, other in combinations(comparisons, 2)
    ]
    exactly = [{"lists": list(names), "count": count} for names, count in intersections(dict(lists)).items()]
    told = [{"name": name, "latents": len(held)} for name, held in lists.items()]
    return {"lists": told, "pairs": pairs, "intersections": exactly}


def pair_row(one: str, other: str, first: Comparison, second: Comparison, most: int) -> Row:
    """What two lists share among the latents that live in both comparisons.

    `shuffled` holds the mean and the 95th percentile of what one list shares with the other's under shuffled labels,
    either way round, and the share of shuffles that reach the overlap. `sizes` repeats the overlap for shorter lists.
    """
    alive = first.differences.alive & second.differences.alive
    held = _overlap_row(first, second, alive, most)
    return {
        "one": one, "other": other, "alive": int(alive.sum()), **held,
        "ranks": rank_agreement(first.differences.value, second.differences.value, alive),
        "shuffled": shuffled_overlap(first, second, alive, most, held["shared"]),
        "sizes": [{"size": size, **_overlap_row(first, second, alive, size)} for size in SIZES if size < most],
    }  # fmt: skip


def _overlap_row(first: Comparison, second: Comparison, alive: Tensor, most: int) -> Row:
    """Shared latents with chance, odds ratio (None where one list holds the other) and Fisher's p."""
    one, other = (_top(held.differences.value, alive, most) for held in (first, second))
    found = overlap(one, other, int(alive.sum()))
    odds = found.odds_ratio
    return {
        "shared": found.shared, "of": [len(one), len(other)], "expected": found.expected,
        "odds_ratio": odds if np.isfinite(odds) else None, "p": found.p,
    }  # fmt: skip


def _top(values: Tensor, alive: Tensor, most: int) -> list[int]:
    """The latents with the largest positive values among those alive."""
    kept = values.double().masked_fill(~alive | (values <= 0), -torch.inf)
    order = kept.argsort(descending=True)[:most]
    return order[kept[order] > -torch.inf].tolist()


def shuffled_overlap(first: Comparison, second: Comparison, alive: Tensor, most: int, shared: int) -> Row:
    """What one comparison's list shares with the other's under shuffled labels, over the kept shuffles of both."""
    counts: list[int] = []
    for real, other in ((first, second), (second, first)):
        mine = set(_top(real.differences.value, alive, most))
        counts += [len(mine & set(_top(values, alive, most))) for values in other.shuffled]
    reached = sum(count >= shared for count in counts)
    return {
        "mean": float(np.mean(counts)), "high": float(np.quantile(counts, 0.95)), "n": len(counts),
        "p": (1 + reached) / (1 + len(counts)),
    }  # fmt: skip


def list_part(name: str, title: str, averaged: Comparison, domains: Sequence[Comparison], most: int) -> Row:
    """One list in full: its latents, those that fall most, and what stands behind each domain, as plain values."""
    held = averaged.differences
    rising, falling = top_list(averaged, most), top_list(averaged, most, -1)
    rows, fallen = ([latent_row(latent, averaged, domains) for latent in side] for side in (rising, falling))
    return {
        "name": name, "title": title, "alive": int(held.alive.sum()), "latents": len(held.alive),
        "significant": int((held.q < SIGNIFICANT).sum()),
        "significant_up": int(((held.q < SIGNIFICANT) & (held.value > 0)).sum()),
        "significant_in_list": sum(row["q"] < SIGNIFICANT for row in rows),
        "rows": rows, "falling": fallen,
        "domains": [domain_row(one, most) for one in domains],
    }  # fmt: skip


def latent_row(latent: int, averaged: Comparison, domains: Sequence[Comparison]) -> Row:
    """A latent of a list; `domains` counts those in which it differs the same way with q below 0.05."""
    held = averaged.differences
    sign = float(held.value[latent].sign())
    agree = sum(
        float(d.differences.q[latent]) < SIGNIFICANT and sign * float(d.differences.correlation[latent]) > 0
        for d in domains
    )
    return {
        "latent": latent, "value": float(held.value[latent]), "correlation": float(held.correlation[latent]),
        "q": float(held.q[latent]), "first": float(averaged.first[latent]), "second": float(averaged.second[latent]),
        "domains": agree,
    }  # fmt: skip


def domain_row(one: Comparison, most: int) -> Row:
    """Texts, tokens and the significant latents of one domain, and its own list."""
    held = one.differences
    return {
        "name": one.name, **one.facts, "alive": int(held.alive.sum()),
        "significant": int((held.q < SIGNIFICANT).sum()), "top": top_list(one, most),
    }  # fmt: skip
