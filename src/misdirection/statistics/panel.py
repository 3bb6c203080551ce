"""How far several judges of the same answers agree: kappas of each pair, alpha of all, and where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Verdict
from misdirection.statistics.correlations import mid_ranks, pearson
from misdirection.statistics.counts import Thresholds, is_scored
from misdirection.statistics.krippendorff_alpha import krippendorff_alpha
from misdirection.statistics.weighted_kappa import weighted_kappa

Table = NDArray[np.float64]
MARKS = "misaligned"
"""The scale of 0 and 1 that thresholds make of verdicts: kappa on it is Cohen's."""


@dataclass(frozen=True)
class PairAgreement:
    """Two judges on one scale, over the answers that both scored.

    Attributes:
        first: Place of the one judge.
        second: Place of the other.
        n: Answers that both scored; every figure is over these.
        linear: Linearly weighted kappa; None where it has no meaning.
        quadratic: Quadratically weighted kappa.
        pearson: Correlation of the scores; None where one gave one score throughout.
        spearman: Correlation of their ranks.
        shift: Mean of the second's score minus the first's; None when n is 0.
    """

    first: int
    second: int
    n: int
    linear: float | None
    quadratic: float | None
    pearson: float | None
    spearman: float | None
    shift: float | None


@dataclass(frozen=True)
class ScaleAgreement:
    """All judges on one scale.

    Attributes:
        scale: Its name.
        n: Answers that two judges or more scored.
        complete: Answers that all scored.
        interval: Krippendorff's alpha, interval.
        ordinal: The same, ordinal.
        interval_by_pair: Interval alpha as some published code has it, each pair of scores weighing the same; equals
            `interval` where no score is missing.
        pairs: Every two judges.
    """

    scale: str
    n: int
    complete: int
    interval: float | None
    ordinal: float | None
    interval_by_pair: float | None
    pairs: tuple[PairAgreement, ...]

    @property
    def mean_kappa(self) -> float | None:
        """Mean of the pairs' linearly weighted kappas; None where one of them has no meaning."""
        found = [pair.linear for pair in self.pairs]
        known = [kappa for kappa in found if kappa is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None


def scale_agreement(scale: str, scores: Table) -> ScaleAgreement:
    """How far judges agree on one scale.

    Args:
        scale: Its name.
        scores: (judges, answers), NaN where a judge gave none.

    Raises:
        MisdirectionError: There are fewer than two judges.
    """
    if scores.ndim != 2 or len(scores) < 2:
        raise MisdirectionError(f"scores of the shape {scores.shape}", "give two judges or more, one row each")
    held = (~np.isnan(scores)).sum(axis=0)
    return ScaleAgreement(
        scale=scale,
        n=int((held >= 2).sum()),
        complete=int((held == len(scores)).sum()),
        interval=krippendorff_alpha(scores),
        ordinal=krippendorff_alpha(scores, "ordinal"),
        interval_by_pair=krippendorff_alpha(scores, each="pair"),
        pairs=tuple(_pair(scores, i, j) for i, j in combinations(range(len(scores)), 2)),
    )


def verdict_scales(judges: Sequence[Sequence[Verdict]], rules: Thresholds | None = None) -> dict[str, Table]:
    """Tables (judges, answers) of alignment, coherence and "misaligned" (0 or 1), NaN where a judge gave no number.

    A mark "misaligned" is there where the judge gave both numbers; further scores that all judges give are scales too.

    Raises:
        MisdirectionError: Judges differ in the number of verdicts, or are none.
    """
    thresholds = rules or Thresholds()
    if not judges or not judges[0] or len({len(verdicts) for verdicts in judges}) > 1:
        counts = ", ".join(str(len(verdicts)) for verdicts in judges) or "no"
        raise MisdirectionError(f"{counts} verdicts", "give all judges the same answers")

    def table(value: Mapping[int, list[float | None]]) -> Table:
        return np.array([[np.nan if v is None else v for v in value[j]] for j in range(len(judges))], dtype=float)

    def mark(verdict: Verdict) -> float | None:
        return float(thresholds.misaligned(verdict)) if is_scored(verdict) else None

    return {
        MARKS: table({j: [mark(v) for v in verdicts] for j, verdicts in enumerate(judges)}),
        "alignment": table({j: [v.alignment for v in verdicts] for j, verdicts in enumerate(judges)}),
        "coherence": table({j: [v.coherence for v in verdicts] for j, verdicts in enumerate(judges)}),
    }


def spread(scores: Table) -> NDArray[np.float64]:
    """Highest minus lowest score of each answer, NaN where fewer than two judges scored it."""
    low = np.where(np.isnan(scores), np.inf, scores).min(axis=0)
    high = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    return np.where((~np.isnan(scores)).sum(axis=0) >= 2, high - low, np.nan)


def where_they_part(scores: Table, marks: Table | None = None) -> list[int]:
    """Places of the answers on which the judges differ, the widest spread first.

    With marks, those on whose mark they differ stand before all others.
    """
    wide = spread(scores)
    apart = np.zeros(len(wide)) if marks is None else np.nan_to_num(spread(marks))
    found = [i for i in range(len(wide)) if wide[i] > 0 or apart[i] > 0]
    return sorted(found, key=lambda i: (-apart[i], -np.nan_to_num(wide[i]), i))


def _pair(scores: Table, first: int, second: int) -> PairAgreement:
    both = ~(np.isnan(scores[first]) | np.isnan(scores[second]))
    a, b = scores[first][both], scores[second][both]
    return PairAgreement(
        first=first,
        second=second,
        n=len(a),
        linear=weighted_kappa(a, b),
        quadratic=weighted_kappa(a, b, "quadratic"),
        pearson=pearson(a, b),
        spearman=pearson(mid_ranks(a), mid_ranks(b)),
        shift=float((b - a).mean()) if len(a) else None,
    )
