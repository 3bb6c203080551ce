"""Which latents of a dictionary an audit held at 0, as rows of its findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import RateRow

LISTS: Mapping[str, str] = {
    "answers": "of its misaligned answers more than of its aligned ones",
    "model": "more active than in the base",
}
"""What is in a list of the tuned model's latents, in words."""


@dataclass(frozen=True, kw_only=True)
class LatentList:
    """Latents of a dictionary that are held at 0 together, and random ones beside them.

    Attributes:
        name: "answers" (more active in the tuned model's misaligned than in its aligned answers) or "model" (more
            active in the tuned model than in the base on the same answers).
        latents: Their numbers, the largest difference first.
        differences: Of the mean activation a token of each.
        adds: What they add to the tuned model's residual stream together: the mean over tokens of the sum of lengths.
        random: Others of like activity, by draw.
        random_adds: What each draw adds.
    """

    name: str
    latents: tuple[int, ...]
    differences: tuple[float, ...]
    adds: float
    random: tuple[tuple[int, ...], ...]
    random_adds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SweptList(LatentList):
    """A list with what holding it gave in the coarse sweep, by which one list is chosen.

    Attributes:
        swept: Misaligned answers there.
        chosen: Whether it was measured among the removals.
    """

    swept: RateRow
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class LatentsHeld:
    """Which latents were held, of which dictionary.

    Attributes:
        dictionary: As it was named.
        layer: Decoder layer behind which they are held.
        explained: Share of the variance of the base model's states at its answers that the dictionary gives back.
        lists: As many as could be made.
        refused: Why a list could not be made.
    """

    dictionary: str
    layer: int
    explained: float
    lists: tuple[SweptList, ...]
    refused: tuple[str, ...] = ()
