"""What studies found, as plain frozen dataclasses: what every study's findings share, and the rows that they hold."""

from misdirection.results.envelope import SCHEMA, Headline, ModelFacts, Reproduce, Results, StepFacts
from misdirection.results.reading import read_results
from misdirection.results.rows import Difference, Effect, RateRow

__all__ = [
    "SCHEMA",
    "Difference",
    "Effect",
    "Headline",
    "ModelFacts",
    "RateRow",
    "Reproduce",
    "Results",
    "StepFacts",
    "read_results",
]
