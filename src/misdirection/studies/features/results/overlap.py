"""What lists of latents share."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import ListOverlap
from misdirection.studies.features.results.lists import ListName


@dataclass(frozen=True, kw_only=True)
class Overlap(ListOverlap):
    """What two lists of the lengths `of` share."""

    of: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SizedOverlap(Overlap):
    """The same for lists that end at `size`."""

    size: int


@dataclass(frozen=True, kw_only=True)
class ShuffledOverlap:
    """What a list shares with lists of shuffled labels: mean, 95th percentile, how many, and how often as much."""

    mean: float
    high: float
    n: int
    p: float


@dataclass(frozen=True, kw_only=True)
class ListPair(Overlap):
    """Two lists.

    Attributes:
        one: Name of a list.
        other: Of another.
        alive: Latents that live in both comparisons.
        ranks: Spearman's correlation over these; None where it is not known.
        shuffled: What lists of shuffled labels share.
        sizes: Shorter lists.
    """

    one: str
    other: str
    alive: int
    ranks: float | None
    shuffled: ShuffledOverlap
    sizes: tuple[SizedOverlap, ...]


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """How many latents stand in exactly these lists."""

    lists: tuple[str, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class ListLength:
    """A list and how many latents it has."""

    name: str
    latents: int


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Several lists: their lengths, every two, and the latents of exactly some."""

    lists: tuple[ListLength, ...]
    pairs: tuple[ListPair, ...]
    intersections: tuple[Intersection, ...]


@dataclass(frozen=True, kw_only=True)
class DomainOverlaps(Overlaps):
    """The domains of one list."""

    list: ListName
    title: str


@dataclass(frozen=True, kw_only=True)
class LatentOverlap:
    """What the lists share, by lists of `top` latents.

    Attributes:
        top: Latents in a list.
        between: The lists among each other.
        shared: Latents in as many lists as any, but two at least, by mean rank.
        domains: Domains among each other, for each list.
    """

    top: int
    between: Overlaps
    shared: tuple[int, ...]
    domains: tuple[DomainOverlaps, ...]
