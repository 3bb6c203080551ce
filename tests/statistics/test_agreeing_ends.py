"""Where an interval has to agree with its test, and labels that are dealt out anew within their groups."""

from __future__ import annotations

import numpy as np
import pytest

from misdirection.errors import MisdirectionError
from misdirection.statistics import shuffled_columns
from misdirection.statistics.flips import Flipped
from misdirection.statistics.paired import _agreeing, _ratio, _reduced, _widened


def test_a_ratio_lies_on_the_side_of_one_on_which_the_difference_lies_of_zero() -> None:
    assert _agreeing((0.2, 0.8), (-0.3, -0.1), 0.4) == (0.2, 0.8)
    # A fall of 0.1 at least of a rate of 0.4 leaves three quarters of it at most.
    assert _agreeing((0.2, 1.4), (-0.3, -0.1), 0.4) == pytest.approx((0.2, 0.75))
    assert _agreeing((0.9, 3.0), (0.1, 0.3), 0.4) == pytest.approx((1.25, 3.0))
    assert _agreeing((1.1, 3.0), (0.1, 0.3), 0.4) == (1.1, 3.0)
    assert _agreeing((1.1, 3.0), (-0.1, 0.3), 0.4) == (1.0, 3.0)
    assert _agreeing((0.3, 0.9), (-0.1, 0.3), 0.4) == (0.3, 1.0)
    assert _reduced((0.25, 0.75)) == (0.25, 0.75) and _reduced((0.1, 0.75)) == pytest.approx((0.25, 0.9))


def test_a_unanimous_arm_widens_the_interval_but_not_over_what_the_test_rejects() -> None:
    tested = Flipped(0.01, 0.1, 0.3, "")
    assert _widened(tested, (-0.2, 0.5), unanimous=False, significant=True) == (0.1, 0.3)
    assert _widened(tested, (0.05, 0.5), unanimous=True, significant=True) == (0.05, 0.5)
    # Towards zero the test's own end stays, away from it the other's counts.
    assert _widened(tested, (-0.2, 0.5), unanimous=True, significant=True) == (0.1, 0.5)
    falls = Flipped(0.01, -0.3, -0.1, "")
    assert _widened(falls, (-0.5, 0.2), unanimous=True, significant=True) == (-0.5, -0.1)
    assert _widened(tested, (-0.2, 0.5), unanimous=True, significant=False) == (-0.2, 0.5)
    nothing = Flipped(1.0, -np.inf, np.inf, "")
    assert _widened(nothing, (0.1, 0.5), unanimous=False, significant=False) == (0.0, 0.5)
    assert _ratio(nothing, (0.2, 3.0), unanimous=False) == (0.2, 3.0)
    assert _ratio(Flipped(0.5, -0.4, 2.0, ""), (0.2, 3.0), unanimous=True) == (0.0, 3.0)


def test_labels_are_dealt_out_within_their_group_and_never_lost() -> None:
    first = [True, False, False, True, True, False, True]
    groups = ["a", "b", "a", "b", "b", "b", "alone"]
    columns = shuffled_columns(first, 40, groups=groups, seed=3)
    assert columns.shape == (7, 80)
    one, two = columns[:, ::2], columns[:, 1::2]
    assert (one + two == 1).all()
    for name, bad in (("a", 1), ("b", 2), ("alone", 1)):
        held = [place for place, group in enumerate(groups) if group == name]
        assert (one[held].sum(0) == bad).all()
    # Each place of a group is of the first class about as often: a half of 40, not always or never.
    assert all(8 < one[place].sum() < 32 for place in (0, 2, 1, 3, 4, 5))
    free = shuffled_columns(first, 40, seed=3)[:, ::2]
    assert (free.sum(0) == 4).all() and free[6].sum() < 40
    assert (shuffled_columns(first, 40, seed=3) == shuffled_columns(first, 40, seed=3)).all()
    assert (shuffled_columns(first, 40, seed=4) != shuffled_columns(first, 40, seed=3)).any()
    with pytest.raises(MisdirectionError, match="7 labels and 2 groups"):
        shuffled_columns(first, 1, groups=["a", "b"])
