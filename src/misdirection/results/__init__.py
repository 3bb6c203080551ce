"""What studies found, as plain frozen dataclasses: what every study's findings share, and the rows that they hold."""

from misdirection.results.envelope import SCHEMA, Headline, ModelFacts, Reproduce, Results, StepFacts
from misdirection.results.reading import read_results
from misdirection.results.rows import (
    Difference,
    DirectionSize,
    Effect,
    FineTuneRow,
    FineTunes,
    Interval,
    ListOverlap,
    PairedChange,
    Pools,
    RateRow,
    Reduction,
    TokenEnds,
    TokenScore,
    row_of,
)

__all__ = [
    "SCHEMA",
    "Difference",
    "DirectionSize",
    "Effect",
    "FineTuneRow",
    "FineTunes",
    "Headline",
    "Interval",
    "ListOverlap",
    "ModelFacts",
    "PairedChange",
    "Pools",
    "RateRow",
    "Reduction",
    "Reproduce",
    "Results",
    "StepFacts",
    "TokenEnds",
    "TokenScore",
    "read_results",
    "row_of",
]
