from __future__ import annotations

import numpy as np
import pytest

from misdirection.screening.choosing import agreement, choose_dropped, how_many
from misdirection.screening.errors import ScreeningError


def test_a_share_or_a_number_of_rows_is_dropped() -> None:
    assert [how_many(0.5, n) for n in (10, 11, 3)] == [5, 6, 2]
    assert how_many(3, 10) == 3 and how_many(1, 10) == 1
    scores = np.array([0.1, 5.0, 3.0, 4.0, -1.0])
    assert choose_dropped(scores, 2, 0).tolist() == [False, True, False, True, False]
    assert choose_dropped(scores, 0.6, 0).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("drop", [0, -0.5, 1.5, 10, 11, 0.01, 0.99, float("nan")])
def test_nothing_everything_and_part_of_a_row_are_refused(drop: float) -> None:
    with pytest.raises(ScreeningError, match="--drop"):
        how_many(drop, 10)


def test_ties_are_broken_by_the_seed_and_only_ties() -> None:
    scores = np.array([1.0] * 10 + [2.0, 0.0])
    seen = [choose_dropped(scores, 5, seed) for seed in range(200)]
    assert all(mask[10] and not mask[11] and mask.sum() == 5 for mask in seen)
    often = np.sum(seen, axis=0)[:10] / 200
    assert np.abs(often - 0.4).max() < 0.13
    assert (choose_dropped(scores, 5, 3) == choose_dropped(scores, 5, 3)).all()


def test_rows_without_a_score_are_dropped_last() -> None:
    scores = np.array([np.nan, 0.0, -3.0, np.nan])
    assert choose_dropped(scores, 2, 0).tolist() == [False, True, True, False]
    assert choose_dropped(scores, 3, 0)[[1, 2]].all()


def test_agreement_is_counted_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1, np.nan])
    found = agreement(scores, [True, True, False, False, False], [True, False, True, False, True])
    assert (found.rows, found.bad, found.dropped, found.found) == (5, 3, 2, 1)
    assert found.precision == 0.5 and found.recall == pytest.approx(1 / 3)
    # Of the four pairs of a scored bad and a scored good row, three are in order.
    assert found.auc == pytest.approx(3 / 4)
    assert agreement(scores, [True] + [False] * 4, [False] * 5).recall is None
    with pytest.raises(ScreeningError):
        agreement(scores, [True], [True] * 5)
    with pytest.raises(ScreeningError):
        agreement(scores, [False] * 5, [True] * 5)
