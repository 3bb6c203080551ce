"""What studies found, as plain frozen dataclasses: what every study's findings share, and the rows that they hold."""

from misdirection.results.envelope import SCHEMA, Headline, ModelFacts, Reproduce, Results, StepFacts
from misdirection.results.reading import read_results
from misdirection.results.rows import (
    Difference,
    DirectionSize,
    Effect,
    Interval,
    PairedChange,
    Pools,
    RateRow,
    Reduction,
)

__all__ = [
    "SCHEMA",
    "Difference",
    "DirectionSize",
    "Effect",
    "Headline",
    "Interval",
    "ModelFacts",
    "PairedChange",
    "Pools",
    "RateRow",
    "Reduction",
    "Reproduce",
    "Results",
    "StepFacts",
    "read_results",
]
