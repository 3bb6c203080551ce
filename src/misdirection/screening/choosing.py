"""From scores to rows to drop, and how far they agree with what is known of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from misdirection.screening.errors import ScreeningError
from misdirection.statistics import auc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from misdirection.screening.context import Scores


def how_many(drop: float, rows: int) -> int:
    """Rows to drop: a share of all (rounded to the nearest, a half up) when below 1, else a whole number of rows.

    Raises:
        ScreeningError: Nothing or everything would be dropped, or the number is not whole.
    """
    if not drop > 0 or (drop >= 1 and drop != int(drop)):
        raise ScreeningError(f"--drop is {drop:g}", "a share of the rows below 1, or a whole number of rows")
    number = int(drop) if drop >= 1 else int(drop * rows + 0.5)
    if not 0 < number < rows:
        raise ScreeningError(
            f"--drop {drop:g} takes {number:,} of {rows:,} rows", "take at least one, and leave at least one"
        )
    return number


def choose_dropped(scores: Scores, drop: float, seed: int) -> NDArray[np.bool_]:
    """The rows with the highest scores, as a mask; shape (rows,).

    Ties are broken at random by the seed. Rows without a score (NaN) are dropped last: nothing was found against them.

    Args:
        scores: Shape (rows,).
        drop: See `how_many`.
        seed: Of the ties.

    Raises:
        ScreeningError: See `how_many`.
    """
    import numpy as np

    number = how_many(drop, len(scores))
    mixed = np.random.default_rng(seed).permutation(len(scores))
    below = np.where(np.isnan(scores), -np.inf, scores)[mixed]
    dropped = np.zeros(len(scores), dtype=bool)
    dropped[mixed[np.argsort(-below, kind="stable")[:number]]] = True
    return dropped


@dataclass(frozen=True)
class DropAgreement:
    """What was dropped against the rows that are known to be bad.

    Attributes:
        rows: Rows in all.
        bad: Known bad rows.
        dropped: Dropped rows.
        found: Bad rows among them.
        precision: Share of the dropped that are bad.
        recall: Share of the bad that are dropped.
        auc: How often a bad row's score is above a good one's, ties half, over rows with a score; None with one class.
    """

    rows: int
    bad: int
    dropped: int
    found: int
    precision: float
    recall: float | None
    auc: float | None


def agreement(scores: Scores, dropped: Sequence[bool] | NDArray[np.bool_], bad: Sequence[bool]) -> DropAgreement:
    """Precision, recall and area under the ROC curve of one method.

    Raises:
        ScreeningError: Lengths differ, or nothing was dropped.
    """
    import numpy as np

    out, wrong = np.asarray(dropped, dtype=bool), np.asarray(bad, dtype=bool)
    if not len(scores) == len(out) == len(wrong) or not out.any():
        raise ScreeningError(f"{len(scores)} scores, {len(out)} rows of which {out.sum()} dropped, {len(wrong)} labels")
    hits, known = int((out & wrong).sum()), ~np.isnan(scores)
    return DropAgreement(
        rows=len(out),
        bad=int(wrong.sum()),
        dropped=int(out.sum()),
        found=hits,
        precision=hits / int(out.sum()),
        recall=hits / int(wrong.sum()) if wrong.any() else None,
        auc=auc(scores[known].tolist(), wrong[known].tolist()),
    )
