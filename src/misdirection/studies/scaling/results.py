"""What came out of the study of size and training tokens."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Results
from misdirection.studies.scaling.table import Point


@dataclass(frozen=True, kw_only=True)
class CorrelationRow:
    """A partial correlation of a rate with a logarithm, one other held fixed.

    Attributes:
        outcome: Which rate.
        control: Whether none is expected or wanted there: the base untouched.
        with_: log of "parameters", "tokens" or "tokens per parameter".
        fixed: log of what is held fixed; "parameters x tokens" beside the ratio, for both would leave nothing of it.
        kind: "rank" or "linear".
        value: -1 .. 1; None where it is not defined.
        low: Lower end of the bootstrap interval over seeds; None with fewer than three seeds.
        high: Upper end.
        p: Two-sided, of shuffles within seeds.
        q: Benjamini-Hochberg over all rows of the table that are no controls; None for controls.
        n: Checkpoints.
        by_seed: The same within each seed.
    """

    outcome: str
    control: bool
    with_: str
    fixed: str
    kind: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    q: float | None
    n: int
    by_seed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Slope:
    """What a doubling does to the log odds of a rate, on the fitted plane.

    Attributes:
        of: "parameters" or "tokens".
        value: Change of the log odds a doubling.
        low: Lower end of the bootstrap interval over seeds; None with fewer than three seeds.
        high: Upper end.
    """

    of: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Surface:
    """log odds = intercept + a log2 parameters + b log2 tokens, by least squares on all checkpoints.

    Attributes:
        outcome: Which rate; each is counted with half an answer added on both sides, so that none is infinite.
        intercept: At one parameter and one token.
        slopes: Of both.
        r2: Share of the variance that it explains; None where the rate does not vary.
    """

    outcome: str
    intercept: float
    slopes: tuple[Slope, ...]
    r2: float | None


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The checkpoints, the correlations and the surfaces.

    Attributes:
        source: What the checkpoints are of.
        target: In-domain rate at which fine-tunes are compared.
        points: A row a checkpoint.
        correlations: Of each outcome.
        surfaces: Of each outcome that is no control.
        paper: What others found.
    """

    source: str
    target: float
    points: tuple[Point, ...]
    correlations: tuple[CorrelationRow, ...]
    surfaces: tuple[Surface, ...]
    paper: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ScalingResults(Results):
    """The findings of the study of size and training tokens."""

    scaling: Scaling


RESULTS = ScalingResults
