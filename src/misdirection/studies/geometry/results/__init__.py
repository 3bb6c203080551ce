"""What came out of the geometry of features: similarities with their tests, the spillover law, and a fine-tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from misdirection.features.settings import Reduction
from misdirection.results import Results
from misdirection.studies.geometry.results.course import FineTuneCourse
from misdirection.studies.geometry.results.law import Law
from misdirection.studies.geometry.results.similarity import SetSimilarity, Sharing


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What the study adds to the findings; see the settings of these names.

    Attributes:
        layers: Decoder layers of the dictionaries.
        domains: Of the data.
        reduction: The reading that the verdict goes by.
        nearest: How many of the reading "nearest".
        shared: What became of latents that are inducing and toxic.
        top: Latents in a list.
        statistic: They are ordered by.
        permutations: Exchanges.
        bins: Of firing rate.
        rows: Every comparison.
        lists: What the lists share.
        paper: Published claims, in words.
        law: The spillover law, where it was measured.
        course: A fine-tune, where one was followed.
    """

    layers: tuple[int, ...]
    domains: tuple[str, ...]
    reduction: Reduction
    nearest: int
    shared: Literal["drop", "keep"]
    top: int
    statistic: str
    permutations: int
    bins: int
    rows: tuple[SetSimilarity, ...]
    lists: tuple[Sharing, ...]
    paper: str
    law: Law | None = None
    course: FineTuneCourse | None = None


@dataclass(frozen=True, kw_only=True)
class GeometryResults(Results):
    """The findings of the study of feature geometry."""

    geometry: Geometry


RESULTS = GeometryResults
